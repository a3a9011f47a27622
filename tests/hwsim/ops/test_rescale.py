"""S4 with its rounding folded into offsets, and in vectors: against unbounded integers."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.kernels.requantize import ROUNDINGS
from hwsim.ops._rescale import prepared, words
from hwsim.ops.requantize import Requantize
from hwsim.spec import QuantSpec, TensorSpec

OUT = QuantSpec(32, True, (1.0,), (5,))
MULTIPLIERS = (
    st.integers(0, 2**31 - 1)
    | st.integers(0, 30).map(lambda bit: 1 << bit)
    | st.builds(lambda odd, bit: odd << bit, st.integers(0, 15), st.integers(0, 27))
)


def rounded(exact, rounding, shift):
    """`exact`, a Fraction, to an integer as S4 does."""
    if rounding == "half_even":
        return round(exact)
    nudge = 0 if rounding == "floor" else Fraction(1, 2)
    if rounding == "double_round" and shift > 31:
        nudge += Fraction((1 if exact >= 0 else -1) * 2**30, 2**shift)
    return (exact + nudge).__floor__()


@given(
    bits=st.integers(1, 8),
    signed=st.booleans(),
    zero=st.integers(0, 255),
    multiplier=MULTIPLIERS,
    shift=st.integers(1, 62),
    offset=st.integers(-(2**40), 2**40) | st.just(0) | st.integers(-(2**10), 2**10),
    halves=st.integers(-3, 3),
    rounding=st.sampled_from(ROUNDINGS),
)
def test_every_code_of_every_form(bits, signed, zero, multiplier, shift, offset, halves, rounding):
    """All accumulators there are; `halves` of a step in the offset make ties common."""
    bare = QuantSpec(bits, signed, (1.0,))
    zero = bare.qmin + zero % (1 << bits)
    offset = halves << (shift - 1) if halves and shift < 60 else offset
    x = TensorSpec((1, 1), QuantSpec(bits, signed, (1.0,), (zero,)))
    found = prepared(Requantize(OUT, (multiplier,), (shift,), None, rounding, (offset,)), x)
    if found.form == "generic":
        assert rounding == "double_round"
        assert shift > 31
        return
    for code in range(bare.qmin, bare.qmax + 1):
        y = code * int(found.multiplier[0]) + int(found.offset[0])
        assert abs(y) < 2**63
        value = y >> shift
        if found.form == "half_even" and y % (1 << shift) == 0:
            value -= value & 1
        assert value == rounded(Fraction((code - zero) * multiplier + offset, 1 << shift), rounding, shift)


@pytest.mark.parametrize(
    ("multiplier", "shift", "offset", "bits", "form"),
    [
        (3, 8, 0, 7, "plain"),  # acc = 128 would be a tie, and is no code
        (3, 8, 0, 8, "plain"),  # 128 is one: 3 * 128 / 256 = 1.5
        (3, 8, 0, 9, "half_even"),  # 128 and 384: 1.5 and 4.5
        (3, 8, 128, 8, "plain"),  # acc = 0 alone: a half, down to 0
        (0, 8, 128, 4, "half_even"),  # all of them
        (0, 8, 127, 4, "plain"),
        (1 << 20, 8, 0, 16, "plain"),  # no fractions at all
    ],
)
def test_forms(multiplier, shift, offset, bits, form):
    x = TensorSpec((1, 1), QuantSpec(bits, False, (1.0,)))
    assert prepared(Requantize(OUT, (multiplier,), (shift,), offset=(offset,)), x).form == form


def test_what_may_overflow_is_generic():
    x = TensorSpec((1, 1), QuantSpec(32, True, (1.0,)))
    op = Requantize(OUT, (2**31 - 1,), (62,), offset=(2**61 + 2**60 + 2**59,))
    assert prepared(op, x).form == "generic"
    assert words(op, x, 1) is None


SHAPES = {
    "last": ((2, 5, 35), 2, (0, 1, 2)),
    "one row": ((1, 1, 40), 2, (0, 1, 2)),
    "long runs": ((2, 3, 4, 300), 1, (0, 1, 2, 3)),
    "short runs": ((2, 3, 7, 21), 1, (0, 2, 1, 3)),
    "transposed": ((2, 18, 9), 2, (0, 2, 1)),
    "no channels": ((3, 7, 11), None, (0, 2, 1)),
    "short rows": ((2, 3, 5), 2, (0, 1, 2)),
}


@given(
    data=st.data(),
    place=st.sampled_from(tuple(SHAPES)),
    rounding=st.sampled_from(ROUNDINGS),
    bits=st.sampled_from((2, 8, 12, 16, 24, 32)),
    signed=st.booleans(),
    out_bits=st.sampled_from((4, 8, 10, 16)),
    gap=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_run_equals_unbounded_integers(data, place, rounding, bits, signed, out_bits, gap, seed):
    """Any container, layout in memory and constants; ratios about 1 / range, so that codes are not all clamped."""
    shape, axis, order = SHAPES[place]
    generator = np.random.default_rng(seed)
    channels = 1 if axis is None else shape[axis]
    zero = data.draw(st.sampled_from((0, 1 << (bits - 1))))
    zero = 0 if signed else zero
    quant = QuantSpec(bits, signed, (1.0,), (zero,))
    grid = QuantSpec(out_bits, data.draw(st.booleans()), (1.0,), (3,))
    shift = generator.integers(max(1, bits + 20 - out_bits), 50, channels)
    multiplier = generator.integers(1, 1 << 31, channels) >> generator.integers(0, 20, channels)
    if data.draw(st.booleans()):
        multiplier = 1 << generator.integers(0, 31, channels)
    offset = generator.integers(-(2**45), 2**45, channels).tolist() if data.draw(st.booleans()) else ()
    op = Requantize(grid, tuple(multiplier.tolist()), tuple(shift.tolist()), axis, rounding, tuple(offset))
    spec = TensorSpec((1, *shape[1:]), quant)
    memory = tuple(shape[i] for i in order)
    wide = generator.integers(quant.qmin, quant.qmax + 1, (*memory[:-1], memory[-1] + (3 if gap else 0)))
    wide.reshape(-1)[:2] = quant.qmin, quant.qmax
    x = wide.astype(quant.container)[..., : memory[-1]].transpose(np.argsort(order))
    codes = op.run((x,), (spec,), op.infer((spec,)))
    assert codes.shape == x.shape
    assert codes.dtype == grid.container
    for index, value in np.ndenumerate(x):
        c = 0 if axis is None else index[axis]
        product = (int(value) - zero) * op.multiplier[c] + (op.offset[c] if op.offset else 0)
        wanted = rounded(Fraction(product, 1 << op.shift[c]), rounding, op.shift[c]) + 3
        assert codes[index] == min(max(wanted, grid.qmin), grid.qmax)


def test_codes_lie_in_memory_as_what_they_are_made_of():
    x = np.zeros((2, 6, 5, 32), np.int32).transpose(0, 2, 1, 3)
    spec = TensorSpec((1, 5, 6, 32), QuantSpec(16, True, (1.0,)))
    op = Requantize(QuantSpec(8, True, (1.0,)), (1 << 30,) * 6, (40,) * 6, 2)
    codes = op.run((x,), (spec,), op.infer((spec,)))
    assert codes.transpose(0, 2, 1, 3).flags.c_contiguous
