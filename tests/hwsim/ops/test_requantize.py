from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import IllegalModel
from hwsim.kernels.requantize import ROUNDINGS
from hwsim.op import Action
from hwsim.ops.requantize import Requantize, dyadic
from hwsim.spec import BipolarSpec, QuantSpec, TensorSpec

ACC = QuantSpec(32, True, (1.0,))


TO_INTEGER = {
    "half_even": round,
    "half_up": lambda q: (q + Fraction(1, 2)).__floor__(),
    "floor": lambda q: q.__floor__(),
}


@given(
    data=st.data(),
    axis=st.sampled_from((None, 1, 2)),
    rounding=st.sampled_from(tuple(TO_INTEGER)),
    granularity=st.tuples(st.booleans(), st.booleans()),
)
def test_equals_fractions(draw, exact, apply, data, axis, rounding, granularity):
    """Codes with zero points in, codes with zero points out, each per tensor or per channel of `axis`."""
    count = 1 if axis is None else (2, 3)[axis - 1]
    own_in, own_out = (axis if own else None for own in granularity)
    spec = draw.grid(data, axis=own_out, channels=count)
    multiplier = tuple(data.draw(st.lists(st.integers(0, 2**31 - 1), min_size=count, max_size=count)))
    shift = tuple(data.draw(st.lists(st.integers(1, 62), min_size=count, max_size=count)))
    bits = data.draw(st.sampled_from((1, 4, 8, 31, 32)))
    x, x_spec = draw.tensor(data, (1, 2, 3), images=4, axis=own_in, bits=bits)
    codes, out = apply(Requantize(spec, multiplier, shift, axis, rounding), (x, x_spec))
    assert (codes.dtype, out.quant) == (spec.container, spec)
    centred = exact(x, x_spec)
    for index, code in np.ndenumerate(codes):
        channel = 0 if axis is None else index[axis]
        steps = TO_INTEGER[rounding](Fraction(int(centred[index]) * multiplier[channel], 2 ** shift[channel]))
        zero = spec.zero_point[0 if own_out is None else channel]
        assert code == min(max(steps + zero, spec.qmin), spec.qmax)


def test_bipolar_codes_are_integers_too(apply):
    x = (np.array([[1, -1, -1]], np.int8), TensorSpec((1, 3), BipolarSpec((0.5,))))
    codes, _ = apply(Requantize.between(x[1], QuantSpec(4, True, (0.25,), (1,))), x)
    assert codes.tolist() == [[3, -1, -1]]


@given(ratio=st.floats(2.0**-31, 2.0**-1), seed=st.integers(0))
def test_a_dyadic_ratio_is_within_one_code_of_the_real_one(apply, ratio, seed):
    multiplier, shift = dyadic(ratio)
    acc = np.random.default_rng(seed).integers(-(2**24), 2**24, (1, 50)).astype(np.int32)
    op = Requantize(QuantSpec(8, True, (1.0,)), (multiplier,), (shift,))
    codes, _ = apply(op, (acc, TensorSpec((1, 50), ACC)))
    assert np.abs(codes - np.clip(acc * ratio, -128, 127)).max() <= 0.5 + 2.0**-6


@given(ratio=st.floats(2.0**-31, 2.0**29), bits=st.integers(1, 31))
def test_dyadic_has_as_many_significant_bits(ratio, bits):
    multiplier, shift = dyadic(ratio, bits)
    assert 0 < multiplier < 2**31
    assert 1 <= shift <= 62
    assert (multiplier // (multiplier & -multiplier)).bit_length() <= bits
    assert abs(Fraction(multiplier, 2**shift) - Fraction(ratio)) <= Fraction(ratio) / 2**bits


@given(ratio=st.floats(5e-324, 2.0**-31), bits=st.integers(1, 31))
def test_small_ratios_are_as_close_as_62_bits_allow(ratio, bits):
    multiplier, shift = dyadic(ratio, bits)
    error = abs(Fraction(multiplier, 2**shift) - Fraction(ratio))
    assert error <= max(Fraction(ratio) / 2**bits, Fraction(1, 2**63))


@given(ratio=st.floats(2.0**-40, 1.7), bits=st.integers(2, 5))
def test_no_other_multiplier_is_nearer(ratio, bits):
    multiplier, shift = dyadic(ratio, bits)
    exact = Fraction(ratio)
    others = (Fraction(m, 2**s) for m in range(1, 2**bits) for s in range(1, 63))
    assert abs(Fraction(multiplier, 2**shift) - exact) == min(abs(other - exact) for other in others)


@pytest.mark.parametrize(
    ("ratio", "bits", "wanted"),
    [
        (1.0, 31, (2**30, 30)),
        (0.5, 31, (2**30, 31)),
        (2.0**-31, 31, (2**30, 61)),
        (2.0**-32, 31, (2**30, 62)),
        (2.0**-40, 31, (2**22, 62)),
        (1 - 2.0**-40, 31, (2**30, 30)),
        (0.7, 1, (1, 1)),
        (0.8, 1, (2, 1)),
        (4.0, 1, (8, 1)),
        (3.0, 2, (6, 1)),
        (2.0**29 * 1.5, 4, (3 * 2**29, 1)),
        (2.0**-50, 31, (2**12, 62)),
        (2.0**-62, 31, (1, 62)),
        (1e-300, 31, (0, 62)),
        (2.0**-64, 1, (0, 62)),
        (0.375, 2, (3, 3)),
        (0.3, 1, (1, 2)),
    ],
)
def test_dyadic_values(ratio, bits, wanted):
    assert dyadic(ratio, bits) == wanted


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (0.0, "dyadic: a ratio of scales must be positive and finite, got 0.0"),
        (-0.5, "dyadic: a ratio of scales must be positive and finite, got -0.5"),
        (float("nan"), "dyadic: a ratio of scales must be positive and finite, got nan"),
        (float("inf"), "dyadic: a ratio of scales must be positive and finite, got inf"),
        (2.0**30, "dyadic: a ratio of scales must be below 2**30, got 1073741824.0; rescale one side"),
        (1e300, "dyadic: a ratio of scales must be below 2**30, got 1e+300; rescale one side"),
    ],
)
def test_dyadic_refuses(ratio, text):
    with pytest.raises(ValueError, match=r".") as caught:
        dyadic(ratio)
    assert str(caught.value) == text


@pytest.mark.parametrize("bits", [0, 32])
def test_dyadic_refuses_widths(bits):
    with pytest.raises(ValueError, match=rf"^dyadic: a multiplier has 1\.\.31 bits, got {bits}$"):
        dyadic(0.5, bits)


GRID = QuantSpec(8, True, (1.0,))
PAIR = QuantSpec(8, True, (1.0, 1.0), (0, 0), 1)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"rounding": "up"},
            "requantize: rounding must be one of half_even, half_up, double_round, floor, got 'up'",
        ),
        ({"shift": (1, 2)}, "requantize: one shift per multiplier, got 2 for 1"),
        ({"multiplier": (), "shift": ()}, "requantize: one shift per multiplier, got 0 for 0"),
        ({"multiplier": (2**31,)}, "requantize: multiplier must be 0..2**31-1 and shift 1..62, got 2147483648 and 5"),
        ({"multiplier": (-1,)}, "requantize: multiplier must be 0..2**31-1 and shift 1..62, got -1 and 5"),
        ({"shift": (63,)}, "requantize: multiplier must be 0..2**31-1 and shift 1..62, got 1 and 63"),
        ({"shift": (0,)}, "requantize: multiplier must be 0..2**31-1 and shift 1..62, got 1 and 0"),
    ],
)
def test_built_wrong(fields, text):
    with pytest.raises(ValueError, match=r".") as caught:
        Requantize(**{"spec": GRID, "multiplier": (1,), "shift": (5,), **fields})
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("op", "acc", "text"),
    [
        (
            Requantize(GRID, (1,), (1,)),
            TensorSpec((1, 2)),
            "requantize takes integers, got (B, 2) float; quantize floats instead",
        ),
        (Requantize(GRID, (1,), (1,), 1), TensorSpec((1, 2), ACC), "2 multipliers are needed, got 1; check axis"),
        (Requantize(GRID, (1,), (1,), 2), TensorSpec((1, 2), ACC), "an axis is 0..1, got 2; count axes from the front"),
        (
            Requantize(GRID, (1,), (1,), 0),
            TensorSpec((1, 2), ACC),
            "the batch has no channels, got 0; choose another axis",
        ),
        (
            Requantize(PAIR, (1,), (1,)),
            TensorSpec((1, 2), ACC),
            "channels must lie along axis None, got s8 per_channel(axis=1, n=2); give multipliers along that axis",
        ),
        (
            Requantize(GRID, (1,) * 3, (1,) * 3, 2),
            TensorSpec((1, 2, 3), PAIR),
            "channels must lie along axis 2, got s8 per_channel(axis=1, n=2); give multipliers along that axis",
        ),
        (
            Requantize(BipolarSpec((0.5,)), (1,), (1,)),
            TensorSpec((1, 2), ACC),
            "requantized codes are of an affine grid, got bipolar per_tensor scale=0.5; use a table instead",
        ),
    ],
)
def test_illegal(op, acc, text):
    with pytest.raises(IllegalModel) as caught:
        op.infer((acc,))
    assert str(caught.value) == text


@given(
    data=st.data(),
    axis=st.sampled_from((None, 1, 2)),
    own=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    rounding=st.sampled_from(tuple(TO_INTEGER)),
)
def test_between_brings_reals_onto_the_other_grid(draw, apply, data, axis, own, rounding):
    """Every combination of granularities: the codes are those of the exact ratio, off by one at most at a boundary."""
    count = 1 if axis is None else (2, 3)[axis - 1]
    axes = [axis if each else None for each in own]
    x, x_spec = draw.tensor(data, (1, 2, 3), images=2, axis=axes[0])
    grid = draw.grid(data, axis=axes[1], channels=count)
    size = 1 if axes[2] is None else count
    factor = tuple(data.draw(st.lists(st.sampled_from((0.125, 1.0, 3.7)), min_size=size, max_size=size)))
    op = Requantize.between(x_spec, grid, factor=factor, factor_axis=axes[2], rounding=rounding)
    assert op.axis == (axis if any(own) else None)
    codes, out = apply(op, (x, x_spec))
    real = np.array(factor).reshape([-1 if i == axes[2] else 1 for i in range(3)]) * x_spec.quant.to_real(x)
    scale, zero = (
        np.array(v).reshape([-1 if i == grid.axis else 1 for i in range(3)]) for v in (grid.scale, grid.zero_point)
    )
    steps = real / scale + (0 if rounding != "floor" else -0.5)
    assert np.all(np.abs(codes - np.clip(steps + zero, grid.qmin, grid.qmax)) <= 0.5 + 1e-5)
    assert out.quant == grid


@pytest.mark.parametrize(
    ("x", "grid", "options", "text"),
    [
        (TensorSpec((1, 2)), GRID, {}, "requantize takes integers, got (B, 2) float; quantize floats instead"),
        (
            TensorSpec((1, 2), ACC),
            BipolarSpec((0.5,)),
            {},
            "requantized codes are of an affine grid, got bipolar per_tensor scale=0.5; use a table instead",
        ),
        (
            TensorSpec((1, 2), ACC),
            GRID,
            {"factor": (-1.0,)},
            "a factor must be positive and finite, got (-1.0,); fold its sign into the weights",
        ),
        (
            TensorSpec((1, 2, 2), PAIR),
            GRID,
            {"factor": (1.0, 2.0), "factor_axis": 2},
            "all channels must lie along one axis, got [1, 2]; make all but one per tensor",
        ),
        (TensorSpec((1, 2), ACC), GRID, {"factor": (1.0, 2.0)}, "1 factors are needed, got 2; check the axis"),
        (
            TensorSpec((1, 2), ACC),
            GRID,
            {"factor": (1.0,), "factor_axis": 1},
            "2 factors are needed, got 1; check the axis",
        ),
        (TensorSpec((1, 3), ACC), PAIR, {}, "3 scales are needed, got 2; check the axis"),
        (TensorSpec((1,), ACC), PAIR, {}, "an axis is 0..0, got 1; count axes from the front"),
        (
            TensorSpec((1, 2), ACC),
            QuantSpec(8, True, (2.0**-30,)),
            {},
            "dyadic: a ratio of scales must be below 2**30, got 1073741824.0; rescale one side",
        ),
    ],
)
def test_between_refuses(x, grid, options, text):
    with pytest.raises(IllegalModel) as caught:
        Requantize.between(x, grid, **options)
    assert str(caught.value) == text


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_a_ratio_too_small_gives_zero_codes(apply, rounding):
    grid = QuantSpec(8, True, (1e300,), (-3,))
    acc = (np.array([[-(2**31), 2**31 - 1, 0]], np.int32), TensorSpec((1, 3), QuantSpec(32, True, (1e-300,))))
    codes, _ = apply(Requantize.between(acc[1], grid, rounding=rounding), acc)
    assert codes.tolist() == [[-3, -3, -3]]


def _accumulators(count):
    return np.random.default_rng(0).integers(-(2**20), 2**20, (1, count)).astype(np.int32)


@pytest.mark.parametrize(
    ("bits", "published"),
    [(7, 0.158), (8, 0.079), (12, 4.9e-3), (15, 6.7e-4), (16, 3.0e-4), (20, 2.3e-5), (24, 5e-6), (31, 0.0)],
)
def test_mismatches_of_narrow_multipliers(apply, bits, published):
    """Codes that differ from those of the exact ratio, over the mantissas; the published share is of one experiment."""
    acc = _accumulators(20_000)
    spec, different, steps = TensorSpec((1, acc.size), ACC), 0, 0
    scales = [2.0**13 * 2.0 ** (i / 16 + 0.03) for i in range(16)]
    for scale in scales:
        codes, _ = apply(Requantize.between(spec, QuantSpec(8, True, (scale,)), bits=bits), (acc, spec))
        wanted = np.clip(np.rint(acc / scale), -128, 127)  # no ties: these scales are no powers of two
        different += np.count_nonzero(codes != wanted)
        steps = max(steps, np.abs(codes - wanted).max())
    share = different / (acc.size * len(scales))
    assert steps <= 1
    assert published / 3 - 5e-6 <= share <= published * 3 + 5e-6, f"{share:.2g}"


def test_power_of_two_scales(apply):
    """Ties come once in 2**shift: half to even is what float fake-quant does, half_up and floor differ by known counts."""
    acc, shift = _accumulators(50_000), 8
    spec, grid = TensorSpec((1, acc.size), ACC), QuantSpec(16, True, (2.0**shift,))
    wanted = np.rint(acc / np.float32(2**shift))  # PyTorch and NumPy: half to even
    codes = {mode: apply(Requantize.between(spec, grid, bits=1, rounding=mode), (acc, spec))[0] for mode in TO_INTEGER}
    rest, even = acc % 2**shift, (acc >> shift) % 2 == 0
    tie = rest == 2 ** (shift - 1)
    assert np.count_nonzero(tie & even) > 80
    assert np.array_equal(codes["half_even"], wanted)
    assert np.array_equal(codes["half_up"] - wanted, tie & even)
    assert np.array_equal(wanted - codes["floor"], (rest > 2 ** (shift - 1)) | (tie & ~even))


def test_cost():
    op, acc = Requantize(GRID, (1,), (1,)), TensorSpec((1, 6), QuantSpec(19, True, (1.0,)))
    assert op.count((acc,), op.infer((acc,))) == {Action("requantize", 19, 8): 6}


BIASED = TensorSpec((1, 2, 3), QuantSpec(20, True, (0.02, 0.03, 0.01), (0, 0, 0), 2))


@given(
    bias=st.lists(st.floats(-50, 50), min_size=3, max_size=3),
    factor=st.sampled_from(((1.0,), (0.125,), (0.5, 3.0, 0.7))),
    seed=st.integers(0),
)
def test_a_bias_is_added_before_rounding(bias, factor, seed):
    out = QuantSpec(8, False, (0.5,), (100,))
    axis = 2 if len(factor) == 3 else None
    op = Requantize.between(BIASED, out, factor=factor, factor_axis=axis, bias=tuple(bias), bias_axis=2)
    codes = np.random.default_rng(seed).integers(-5000, 5000, (4, 2, 3)).astype(np.int32)
    steps = (BIASED.quant.to_real(codes) * factor + bias) / 0.5
    got = op.run((codes,), (BIASED,), op.infer((BIASED,)))
    sure = np.abs(steps - np.floor(steps) - 0.5) > 1e-4  # 31-bit multipliers: only next to a tie may they differ
    assert (got == np.clip(np.rint(steps) + 100, 0, 255))[sure].all()


def test_an_offset_is_an_addition_that_costs(draw):
    op = Requantize.between(BIASED, QuantSpec(8, True, (0.5,)), bias=(1.0,))
    assert op.offset == tuple(round(2.0 * 2**shift) for shift in op.shift)
    assert op.count((BIASED,), op.infer((BIASED,)))[Action("add", 51, 51)] == 6, "20 bits times 31"


def test_a_bias_beside_a_tiny_ratio():
    """The shift leaves room for the offset: a channel of next to no weight still gets its bias."""
    x, out = TensorSpec((1, 2), QuantSpec(32, True, (1e-12, 0.01), (0, 0), 1)), QuantSpec(8, True, (0.5,), (-3,))
    op = Requantize.between(x, out, bias=(20.0, -50.0), bias_axis=1)
    acc = np.array([[-(2**31), 100], [2**31 - 1, -100]], np.int32)
    assert op.run((acc,), (x,), op.infer((x,))).tolist() == [[37, -101], [37, -105]]


def test_an_offset_beyond_63_bits_is_refused():
    op = Requantize(QuantSpec(8, True, (0.5,)), (2**31 - 1,), (62,), offset=(2**63 - 2**40,))
    with pytest.raises(
        IllegalModel, match=r"^a product and its offset must stay below 2\*\*63, got \d+; lower the bits"
    ):
        op.infer((TensorSpec((1, 3), QuantSpec(32, True, (1.0,))),))
