"""Sums that leave a tile as codes, on every tier: S4 as it is written, in Python's integers, then a residual stream."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hwsim.kernels.choose import ORDER
from hwsim.kernels.team import leading
from hwsim.kernels.tier import Finish, Grid
from hwsim.ops._rescale import words
from hwsim.ops.requantize import Requantize
from hwsim.spec import QuantSpec, TensorSpec, signed_bits

TIERS = (*ORDER, "emulated", "oracle")
CONTAINERS = {
    (8, True): np.int8,
    (16, True): np.int16,
    (31, True): np.int32,
    (8, False): np.uint8,
    (16, False): np.uint16,
}


def rounded(value, mode):
    """An exact fraction to an integer."""
    below = value.numerator // value.denominator
    if mode == "floor":
        return below
    return round(value) if mode == "half_even" else below + (value - below >= Fraction(1, 2))


def requantized(acc, op, channel):
    """S4 of one accumulator."""
    value = Fraction(
        int(acc) * op.multiplier[channel] + (op.offset or (0,) * len(op.shift))[channel], 1 << op.shift[channel]
    )
    code = rounded(value, op.rounding) + op.spec.zero_point[channel if len(op.spec.zero_point) > 1 else 0]
    return min(max(code, op.spec.qmin), op.spec.qmax)


def finish_of(op, bits, shape, columns):
    """As fusions make it: constants (Q, N') of an accumulator of `bits`; None where kernels cannot."""
    sums = TensorSpec((1, len(op.multiplier)), QuantSpec(bits, True, (1.0,)), batched=False)
    found = words(op, sums, 1)
    if found is None:
        return None
    arrays = (found.left, found.multiplier, found.offset, found.right, found.zero_point)
    arrays = tuple(np.reshape(values, shape) for values in arrays)
    return Finish.of(columns, arrays, op.spec.qmin, op.spec.qmax, found.even, op.spec.container)


@st.composite
def cases(draw):
    """left, right, their grids, a requantize whose channels are columns, groups or all, and the shape of its constants."""
    groups, m, k, n = (draw(st.integers(1, most)) for most in (3, 40, 40, 70))
    n = draw(st.sampled_from((n, 16, 32, 48)))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    left = Grid(0, 15, generator.integers(0, 16, (1, 1)))
    right = Grid(-8, 7, generator.integers(-8, 8, (1, 1)))
    a = generator.integers(0, 16, (groups, m, k)).astype(np.uint8)
    b = generator.integers(-8, 8, (groups, k, n)).astype(np.int8)
    shape = draw(st.sampled_from([(1, 1), (1, n), (groups, 1), (groups, n)]))
    channels = shape[0] * shape[1]
    bits, signed = draw(st.sampled_from(sorted(CONTAINERS)))
    out_bits = draw(st.sampled_from((bits, max(1, bits - 5))))
    out = QuantSpec(out_bits, signed, (1.0,))
    zero = generator.integers(max(out.qmin, -300), min(out.qmax, 300) + 1, channels).tolist()
    out = dataclasses.replace(out, scale=(1.0,) * channels, zero_point=tuple(zero), axis=0 if channels > 1 else None)
    if draw(st.booleans()):  # many exact ties
        multiplier = generator.integers(0, 8, channels) << draw(st.integers(0, 27))
        shift = [max(1, int(value).bit_length() + draw(st.integers(-2, 3))) for value in multiplier[:1]] * channels
    else:
        multiplier = generator.integers(0, 1 << 31, channels)
        shift = generator.integers(draw(st.integers(20, 31)), 45, channels).tolist()
    offset = generator.integers(-(1 << 40), 1 << 40, channels).tolist() if draw(st.booleans()) else []
    rounding = draw(st.sampled_from(("half_even", "half_up", "floor")))
    op = Requantize(out, tuple(multiplier.tolist()), tuple(shift), out.axis, rounding, tuple(offset))
    return (a, left, b, right), op, shape


def expected(sums, op, shape):
    channel = np.arange(shape[0] * shape[1]).reshape(shape)[np.arange(sums.shape[0]) % shape[0]][:, np.newaxis]
    wanted = np.frompyfunc(lambda acc, c: requantized(acc, op, c), 2, 1)(sums, channel)
    return wanted.astype(object)


@pytest.mark.parametrize("name", TIERS)
@given(case=cases(), pairs=st.booleans(), view=st.booleans(), team=st.sampled_from((1, 1, 2)))
def test_requantized_as_the_semantics_say(tier_of, exact_product, name, case, pairs, view, team):
    (a, left, b, right), op, shape = case
    tier, sums = tier_of(name), exact_product(a, left, b, right)
    finish = finish_of(op, 2 + signed_bits(-225 * a.shape[2], 225 * a.shape[2]), shape, b.shape[2])
    assume(finish is not None)
    wanted = expected(sums, op, shape)
    tier.pairs = pairs and tier.pairable
    packed = tier.pack(b, right, left)
    groups, rows, columns = wanted.shape
    with leading(1 if name == "emulated" else team):
        if not view:
            codes = tier.product(a, left, packed, finish)
            assert codes.dtype == op.spec.container
            np.testing.assert_array_equal(codes.astype(object), wanted)
            return
        space = np.full((1, rows + 1, groups, columns + 3), 77, op.spec.container)  # rows outside of groups
        tier.product(a, left, packed, finish, space.transpose(0, 2, 1, 3)[:, :, :-1, 2:-1])
    np.testing.assert_array_equal(space[0, :-1, :, 2:-1].transpose(1, 0, 2).astype(object), wanted)
    space[0, :-1, :, 2:-1] = 77
    assert (space == 77).all()


@pytest.mark.parametrize("even", [False, True])
@pytest.mark.parametrize("name", TIERS)
@given(seed=st.integers(0, 2**32 - 1), rows=st.sampled_from((1, 7, 45, 130)), columns=st.sampled_from((16, 32, 80)))
def test_a_residual_stream_saturates(tier_of, exact_product, name, even, seed, rows, columns):
    generator, tier = np.random.default_rng(seed), tier_of(name)
    tier.pairs = bool(seed % 2) and tier.pairable
    zero = np.zeros((1, 1), np.int64)
    case = (
        generator.integers(0, 256, (1, rows, 24)),
        Grid(0, 255, zero),
        generator.integers(-8, 8, (1, 24, columns)),
        Grid(-8, 7, zero),
    )
    op = Requantize(
        QuantSpec(16, True, (1.0,)), (3,), (1,) if even else (2,), rounding="half_even" if even else "half_up"
    )
    finish = finish_of(op, 20, (1, 1), columns)
    assert finish.even == even
    stream = generator.choice([-(2**15), 2**15 - 1, 0, 5, -77], (1, rows, columns)).astype(np.int16)
    sums = exact_product(*case)
    wanted = np.clip(expected(sums, op, (1, 1)) + stream, -(2**15), 2**15 - 1)
    a, left, b, right = case
    finish = dataclasses.replace(finish, residual=stream)
    for team in (1, 2)[: 1 if name == "emulated" else 2]:
        with leading(team):
            codes = tier.product(a, left, tier.pack(b, right, left), finish)
        assert codes.dtype == np.int16
        np.testing.assert_array_equal(codes.astype(object), wanted)


@pytest.mark.parametrize("name", TIERS)
def test_left_operands_of_two_bytes_are_finished_too(tier_of, exact_product, name):
    generator, tier = np.random.default_rng(4), tier_of(name)
    left, right = Grid(-(2**15), 2**15 - 1, np.array([[7], [-9]])), Grid(-8, 7, np.array([[1]]))
    a, b = generator.integers(left.low, left.high + 1, (2, 9, 30)), generator.integers(-8, 8, (1, 30, 19))
    op = Requantize(QuantSpec(8, True, (1.0,)), (3,), (17,))
    packed = tier.pack(b, right, left)
    wanted = expected(exact_product(a, left, b, right), op, (1, 1))
    finish = finish_of(op, 26, (1, 1), 19)
    np.testing.assert_array_equal(tier.product(a, left, packed, finish).astype(object), wanted)
    space = np.zeros((1, 9, 2, 19), np.int8)
    tier.product(a, left, packed, finish, space.transpose(0, 2, 1, 3))
    np.testing.assert_array_equal(space[0].transpose(1, 0, 2).astype(object), wanted)


@pytest.mark.parametrize("name", TIERS)
def test_sums_go_where_they_should(tier_of, exact_product, name):
    """Without requantization too."""
    generator, tier = np.random.default_rng(4), tier_of(name)
    left, right = Grid(0, 15, np.array([[3]])), Grid(-8, 7, np.array([[1]]))
    case = generator.integers(0, 16, (4, 9, 30)), left, generator.integers(-8, 8, (4, 30, 19)), right
    space = np.zeros((2, 9, 2, 19), np.int32)
    tier.product(case[0], left, tier.pack(case[2], right, left), None, space.transpose(0, 2, 1, 3))
    np.testing.assert_array_equal(space.transpose(0, 2, 1, 3).reshape(4, 9, 19).astype(object), exact_product(*case))
