"""Integer LayerNorms in vectors (S11a; S11b alone in test_ptflayernorm), against unbounded integers."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.kernels.requantize import ROUNDINGS
from hwsim.ops._normrows import gains, norm_in_rows, norm_requantize
from hwsim.ops.ilayernorm import ILayerNorm
from hwsim.ops.ptflayernorm import PtfLayerNorm
from hwsim.ops.requantize import Requantize
from hwsim.spec import QuantSpec, TensorSpec


def rounded(exact, rounding, shift):
    """`exact`, a Fraction, to an integer as S4 does."""
    if rounding == "half_even":
        return round(exact)
    nudge = 0 if rounding == "floor" else Fraction(1, 2)
    if rounding == "double_round" and shift > 31:
        nudge += Fraction((1 if exact >= 0 else -1) * 2**30, 2**shift)
    return (exact + nudge).__floor__()


def wanted(row, op):
    """S11a of a row in Python's integers."""
    q = [v << op.fraction for v in row]
    mean = (2 * sum(q) + len(q)) // (2 * len(q))
    root = max(math.isqrt(sum((v - mean) ** 2 for v in q) + op.epsilon), 1)
    factor = (1 << op.reciprocal_bits) // root
    codes = []
    for v, gain, offset in zip(q, op.gain, op.offset, strict=True):
        wide = ((v - mean) * factor >> (op.reciprocal_bits - 30)) * gain + offset
        code = rounded(Fraction(wide, 1 << op.shift), op.rounding, op.shift) + op.spec.zero_point[0]
        codes.append(min(max(code, op.spec.qmin), op.spec.qmax))
    return codes


@given(
    channels=st.sampled_from((16, 32, 80)),
    bits=st.sampled_from((4, 8, 12, 16)),
    signed=st.booleans(),
    shift=st.integers(20, 56),
    powers=st.booleans(),
    rounding=st.sampled_from(ROUNDINGS),
    order=st.permutations((0, 1, 2)),
    seed=st.integers(0, 2**32 - 1),
)
def test_equals_unbounded_integers(channels, bits, signed, shift, powers, rounding, order, seed):
    """Rows anywhere in memory, with gaps between them; gains of either sign, powers of two among them, for ties."""
    generator = np.random.default_rng(seed)
    grid = QuantSpec(bits, signed, (0.01,), (0 if signed else 3,))
    x = TensorSpec((1, 7, 3, channels), grid)
    shape = tuple((2, 7, 3)[axis] for axis in order)
    memory = generator.integers(grid.qmin, grid.qmax + 1, (*shape, 2 * channels)).astype(grid.container)
    memory.reshape(-1, 2 * channels)[0] = grid.qmax
    codes = memory[..., :channels].transpose(*np.argsort(order), 3)
    most = min(shift - 24, 30)
    gain = (
        1 << generator.integers(0, most + 1, channels)
        if powers and most > 0
        else generator.integers(1, 2**30, channels)
    )
    gain = gain * generator.choice((-1, 1), channels)
    offset = generator.integers(-(2**shift), 2**shift, channels) * 3
    out = QuantSpec(8, True, (1.0,), (5,))
    op = ILayerNorm(out, tuple(gain.tolist()), tuple(offset.tolist()), shift, 9000, 16 - bits, 31, rounding)
    spec = op.infer((x,))
    got = op.run((codes,), (x,), spec)
    rows = codes.reshape(-1, channels).astype(int) - grid.zero_point[0]
    assert got.reshape(-1, channels).tolist() == [wanted(row, op) for row in rows.tolist()]


def test_ties_go_to_even():
    """Codes of (n + 0..3) / 4: a quarter of them are ties."""
    x = TensorSpec((1, 16), QuantSpec(16, True, (1.0,)))
    codes = np.array([[a, -a] * 8 for a in range(4000, 4100)], np.int16)
    out = QuantSpec(32, True, (1.0,))
    op = ILayerNorm(out, (1,) * 16, tuple(c % 4 for c in range(16)), 2, 2**26)
    constants = gains(op, x)
    assert constants is not None
    assert constants.even
    got = norm_in_rows(op, codes, x)
    assert got is not None
    assert got.tolist() == [wanted(row, op) for row in codes.tolist()]


@pytest.mark.parametrize(
    ("channels", "bits", "change"),
    [
        (15, 8, {}),
        (16, 8, {"epsilon": 0}),  # a factor of 2^31
        (16, 32, {"reciprocal_bits": 40}),
        (16, 8, {"shift": 0}),
        (16, 8, {"shift": 8, "gain": (2**30,) * 16}),
    ],
)
def test_what_32_bits_do_not_hold_takes_the_other_way(channels, bits, change):
    fields = {"gain": (3,) * channels, "offset": (0,) * channels, "shift": 20, "epsilon": 9000, **change}
    x = TensorSpec((1, channels), QuantSpec(bits, True, (1.0,)))
    assert gains(ILayerNorm(QuantSpec(8, True, (1.0,)), **fields), x) is None


def test_codes_lie_in_memory_as_rows_do():
    x = TensorSpec((1, 3, 7, 16), QuantSpec(16, True, (1.0,)))
    op = ILayerNorm(QuantSpec(8, True, (1.0,)), (3,) * 16, (0,) * 16, 20, 9000)
    codes = np.zeros((2, 7, 3, 16), np.int16).transpose(0, 2, 1, 3)
    got = norm_in_rows(op, codes, x)
    assert got is not None
    assert got.shape == (2, 3, 7, 16)
    assert got.transpose(0, 2, 1, 3).flags.c_contiguous


@pytest.mark.parametrize("kind", [ILayerNorm, PtfLayerNorm])
@pytest.mark.parametrize("rounding", ["half_even", "half_up", "floor"])
@pytest.mark.parametrize("axis", [None, 1])
def test_fused_is_one_after_the_other(kind, rounding, axis):
    x = TensorSpec((1, 3, 37, 64), QuantSpec(16, True, (1.0,)))
    generator = np.random.default_rng(1)
    codes = generator.integers(-(2**15), 2**15, (2, 37, 3, 80)).astype(np.int16)[..., :64].transpose(0, 2, 1, 3)
    gain, offset = generator.integers(-(2**30), 2**30, 64), generator.integers(-(2**40), 2**40, 64)
    constants = {"gain": tuple(gain.tolist()), "offset": tuple(offset.tolist()), "epsilon": 9000}
    own = {"shift": 44} if kind is ILayerNorm else {"shift": 39, "alpha": (0,) * 64}
    op = kind(QuantSpec(16, True, (1.0,)), **constants, **own)
    between = op.infer((x,))
    channels = 1 if axis is None else 3
    multiplier = tuple(1_234_567_891 - c * 98_765 for c in range(channels))
    after = Requantize(QuantSpec(4, False, (1.0,), (8,)), multiplier, (40,) * channels, axis, rounding)
    result = after.infer((between,))
    got = norm_requantize(op, after, codes, x, between)
    assert got is not None
    assert got.dtype == result.quant.container
    wanted = after.run((op.run((codes,), (x,), between),), (between,), result)
    assert np.array_equal(got, wanted)
    assert len(np.unique(got)) == 16


def test_channels_elsewhere_are_not_fused():
    x = TensorSpec((1, 3, 5, 16), QuantSpec(16, True, (1.0,)))
    op = ILayerNorm(QuantSpec(16, True, (1.0,)), (3,) * 16, (0,) * 16, 44, 9000)
    after = Requantize(QuantSpec(4, False, (1.0,)), (1_234_567_891,) * 3, (42,) * 3, 1)
    assert norm_requantize(op, after, np.zeros((2, 3, 5, 16), np.int16), x, op.infer((x,))) is None


def test_channels_with_scales_are_not_fused():
    x = TensorSpec((1, 5, 16), QuantSpec(8, True, (1.0, 2.0) * 8, (0,) * 16, 2))
    op = PtfLayerNorm(QuantSpec(16, True, (1.0,)), (0, 1) * 8, (3,) * 16, (0,) * 16, 44)
    after = Requantize(QuantSpec(4, False, (1.0,)), (1_234_567_891,), (42,))
    assert norm_requantize(op, after, np.zeros((2, 5, 16), np.int8), x, op.infer((x,))) is None
