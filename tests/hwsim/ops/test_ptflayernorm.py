import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import IllegalModel
from hwsim.op import Action
from hwsim.ops._normrows import gains
from hwsim.ops.ptflayernorm import PtfLayerNorm
from hwsim.spec import QuantSpec, TensorSpec

OUT = QuantSpec(8, True, (0.05,), (-3,))


def exact(row, op):
    """S11b of a row of codes less their zero points, half to even, in Python's integers; no width above 62 bits."""
    q = [math.floor(v * Fraction(2) ** a) for v, a in zip(row, op.alpha, strict=True)]
    total, square = sum(q), len(q) * sum(v * v for v in q) - sum(q) ** 2 + op.epsilon
    root = max(math.isqrt(square), 1)
    n_shift = root.bit_length() - 1 + op.multiplier_bits
    multiplier = min(2**n_shift // root, 2**op.multiplier_bits - 1)
    assert multiplier.bit_length() == op.multiplier_bits
    codes = []
    for v, gain, offset in zip(q, op.gain, op.offset, strict=True):
        product = (len(q) * v - total) * multiplier
        n = math.floor(product * Fraction(2) ** (22 - n_shift))
        wide = n * gain + offset
        assert abs(n) <= 1 << 30
        assert max(square, abs(product), abs(wide), 2**n_shift) < 1 << 62
        code = round(Fraction(wide, 1 << op.shift)) + op.spec.zero_point[0]
        codes.append(min(max(code, op.spec.qmin), op.spec.qmax))
    return codes


def residual(channels, bits, factors=True, rows=400, seed=0):
    """Codes like those of a residual stream: rows with offsets, channels with outliers, which power-of-two factors of up
    to 8 take up; weight and bias of a layer."""
    generator = np.random.default_rng(seed)
    x = generator.normal(0, 1, (rows, channels)) + generator.normal(0, 0.5, (rows, 1))
    outliers = slice(None, None, max(channels // 8, 1))
    x[:, outliers] *= generator.uniform(1, 15, x[:1, outliers].shape)
    top = np.abs(x).max(axis=0)
    power = np.ceil(np.log2(np.maximum(top / top.max(), 1 / 8))) + 3 if factors else np.zeros(channels)
    scale = float((top / 2**power).max()) / (2 ** (bits - 1) - 1) * 2**power
    zero = (3,) * channels
    grid = (
        QuantSpec(bits, True, tuple(scale.tolist()), zero, 1) if factors else QuantSpec(bits, True, (scale[0],), (3,))
    )
    codes = np.clip(np.rint(x / scale) + 3, grid.qmin, grid.qmax).astype(grid.container)
    return (
        codes,
        TensorSpec((1, channels), grid),
        generator.normal(1, 0.3, channels),
        generator.normal(0, 0.3, channels),
    )


def layer_norm(codes, x, weight, bias, epsilon=1e-6):
    reals = torch.from_numpy(x.quant.to_real(codes))
    arguments = (torch.from_numpy(weight), torch.from_numpy(bias), epsilon)
    return torch.nn.functional.layer_norm(reals, x.shape[-1:], *arguments).numpy()


def grid_for(reals, bits):
    return QuantSpec(bits, True, (float(np.abs(reals).max()) / (2 ** (bits - 1) - 1),))


@given(data=st.data(), width=st.sampled_from((4, 8, 12, 16, 24)), channels=st.integers(1, 40), factors=st.booleans())
def test_equals_unbounded_integers(draw, apply, data, width, channels, factors):
    grid = draw.grid(data, width)
    if factors:
        powers = data.draw(st.lists(st.integers(0, 3), min_size=channels, max_size=channels))
        scale = tuple(grid.scale[0] * 2**p for p in powers)
        grid = dataclasses.replace(grid, scale=scale, zero_point=grid.zero_point * channels, axis=2)
    x = TensorSpec((1, 2, channels), grid)
    codes = draw.codes(data, x, images=2)
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    weight, bias = generator.normal(0, 2, channels), generator.normal(0, 1, channels)
    spec = draw.grid(data)
    op = PtfLayerNorm.lower(x, weight, bias, data.draw(st.sampled_from((0.0, 1e-6, 1e-5, 0.1))), spec)
    op = dataclasses.replace(op, multiplier_bits=data.draw(st.integers(1, 31)))
    result, out = apply(op, (codes, x))
    assert (out.quant, result.dtype) == (spec, spec.container)
    rows = codes.astype(int).reshape(-1, channels) - grid.zero_point[0]
    assert result.reshape(-1, channels).tolist() == [exact(row, op) for row in rows.tolist()]


@given(
    channels=st.sampled_from((16, 48, 192, 384)),
    bits=st.sampled_from((1, 4, 8, 12, 16)),
    signed=st.booleans(),
    rows=st.sampled_from((1, 5, 17, 49)),
    powers=st.sampled_from((0, 1, 3, 6)),
    multiplier_bits=st.integers(1, 31),
    seed=st.integers(0, 2**32 - 1),
)
def test_rows_in_vectors(channels, bits, signed, rows, powers, multiplier_bits, seed):
    """Any zero points, rows with gaps between them; constant rows, and rows at the ends of the range."""
    generator = np.random.default_rng(seed)
    bare = QuantSpec(bits, signed, (1.0,))
    power = generator.integers(0, powers + 1, channels)
    zero = generator.integers(bare.qmin, bare.qmax + 1, channels)
    scale = 0.01 * 2.0 ** (power - power.min())
    grid = QuantSpec(bits, signed, tuple(scale.tolist()), tuple(zero.tolist()), 2)
    if powers == 0:
        grid = QuantSpec(bits, signed, (0.01,), (int(zero[0]),))
    x = TensorSpec((1, rows, channels), grid)
    memory = generator.integers(grid.qmin, grid.qmax + 1, (2, rows, channels + 16)).astype(grid.container)
    memory[0, 0], memory[1, 0] = grid.qmin, generator.choice((grid.qmin, grid.qmax), channels + 16)
    codes = memory[..., :channels]
    weight, bias = generator.normal(0, 2, channels), generator.normal(0, 1, channels)
    op = PtfLayerNorm.lower(x, weight, bias, float(generator.choice((0.0, 1e-6, 0.1))), OUT)
    op = dataclasses.replace(op, multiplier_bits=multiplier_bits)
    assert gains(op, x) is not None or min(op.alpha) < 0 or multiplier_bits > 25
    got = op.run((codes,), (x,), op.infer((x,)))
    centred = codes.reshape(-1, channels).astype(int) - np.array(grid.zero_point)
    assert got.reshape(-1, channels).tolist() == [exact(row, op) for row in centred.tolist()]


@pytest.mark.parametrize("alpha", [(12,) * 16, (12, 13) * 8])
def test_ties_in_vectors_go_to_even(alpha):
    """Codes of (n + 0..3) / 4: a quarter of them are ties."""
    grid = QuantSpec(8, True, (1.0,)) if len({*alpha}) == 1 else QuantSpec(8, True, (1.0, 2.0) * 8, (0,) * 16, 1)
    x, out = TensorSpec((1, 16), grid), QuantSpec(32, True, (1.0,))
    op = PtfLayerNorm(out, alpha, (1,) * 16, tuple(c % 4 for c in range(16)), 2)
    constants = gains(op, x)
    assert constants is not None
    assert constants.even
    codes = np.random.default_rng(0).integers(-128, 128, (50, 16)).astype(np.int8)
    assert op.run((codes,), (x,), op.infer((x,))).tolist() == [exact(row, op) for row in codes.tolist()]


@pytest.mark.parametrize(
    ("channels", "change"),
    [
        (17, {}),
        (16, {"alpha": (-1,) * 16}),
        (16, {"alpha": (10,) * 16, "multiplier_bits": 31}),  # a root of 29 bits
        (16, {"shift": 0}),
    ],
)
def test_what_32_bits_do_not_hold_takes_the_other_way(apply, channels, change):
    fields = {"alpha": (2,) * channels, "gain": (3,) * channels, "offset": (5,) * channels, "shift": 18, **change}
    x, op = TensorSpec((1, channels), QuantSpec(16, True, (1.0,))), PtfLayerNorm(OUT, **fields)
    assert gains(op, x) is None
    codes = np.random.default_rng(0).integers(-(2**15), 2**15, (9, channels)).astype(np.int16)
    codes[0] = np.where(np.arange(channels) % 2, 2**15 - 1, -(2**15))
    assert apply(op, (codes, x))[0].tolist() == [exact(row, op) for row in codes.tolist()]


@pytest.mark.parametrize("channels", [16, 192, 3072])
@pytest.mark.parametrize("bits", [8, 16, 24])
@pytest.mark.parametrize("factors", [False, True])
def test_rows_at_the_ends_of_the_range(apply, bits, channels, factors):
    """The largest sums of squares there are: half of a row at either end; one channel against all others."""
    grid = QuantSpec(bits, True, (1e-4,))
    if factors:
        grid = QuantSpec(bits, True, tuple(1e-4 * 2 ** (c % 4) for c in range(channels)), (0,) * channels, 1)
    low, high = grid.qmin, grid.qmax
    half = [low] * (channels // 2) + [high] * (channels // 2)
    codes = np.array([half, [high] * (channels - 1) + [low], [low + 1] + [low] * (channels - 1)], grid.container)
    x = TensorSpec((1, channels), grid)
    op = PtfLayerNorm.lower(x, np.linspace(-9, 9, channels), np.linspace(40, -40, channels), 1e-6, OUT)
    for multiplier_bits in (8, 31):
        op = dataclasses.replace(op, multiplier_bits=multiplier_bits)
        assert apply(op, (codes, x))[0].tolist() == [exact(row, op) for row in codes.tolist()]


@pytest.mark.parametrize("channels", [16, 64, 384, 3072])
@pytest.mark.parametrize("bits", [8, 12, 16, 24])
@pytest.mark.parametrize("factors", [False, True])
def test_distance_to_layer_norm(apply, channels, bits, factors):
    """At 8 bits of output the 8-bit multiplier changes up to 6 codes of 100 by one; 16 bits of it, up to 6 of 10000."""
    codes, x, weight, bias = residual(channels, bits, factors, 100 if channels > 384 else 400)
    wanted = layer_norm(codes, x, weight, bias)
    spec = grid_for(wanted, 8)
    op = PtfLayerNorm.lower(x, weight, bias, 1e-6, spec)
    for multiplier_bits, share in ((8, 0.065), (16, 6e-4), (31, 5e-4)):
        result, out = apply(dataclasses.replace(op, multiplier_bits=multiplier_bits), (codes, x))
        gap = np.abs(result - np.clip(np.rint(wanted / spec.scale[0]), spec.qmin, spec.qmax))
        assert (gap > 0).mean() <= share
        assert gap.max() <= 1
    assert np.abs(op.reference(x.quant.to_real(codes), (x,), out) - wanted).max() <= 1e-6


def test_the_8_bit_multiplier_is_visibly_lossy(apply):
    """What METHODS measured for requantizing with 8 bits, in the norm of a head: each row is up to 1/128 too small."""
    codes, x, weight, bias = residual(16, 16)
    wanted = layer_norm(codes, x, weight, np.zeros(16))
    spec = grid_for(wanted, 8)
    op = PtfLayerNorm.lower(x, weight, 0 * bias, 1e-6, spec)
    rounded = np.rint(wanted / spec.scale[0])
    shares = [
        (apply(dataclasses.replace(op, multiplier_bits=b), (codes, x))[0] != rounded).mean() for b in (7, 8, 12, 31)
    ]
    assert shares == pytest.approx([0.0964, 0.0514, 0.0031, 0.0], rel=0.02)


@pytest.mark.parametrize("epsilon", [0.0, 1e-6])
@pytest.mark.parametrize("value", [-128, 0, 77, 127])
def test_a_constant_row_gives_its_bias(apply, value, epsilon):
    """Released: the deviation is 0, and every code NaN."""
    x = TensorSpec((1, 5), QuantSpec(8, True, (0.05,), (7,)))
    bias = np.array([0.0, 1.0, -2.0, 0.3, 100.0])
    op = PtfLayerNorm.lower(x, np.array([1.0, -1.0, 0.0, 5.0, 1.0]), bias, epsilon, OUT)
    codes = np.full((2, 5), value, np.int8)
    result, out = apply(op, (codes, x))
    assert result.tolist() == [[-3, 17, -43, 3, 127]] * 2
    assert np.abs(op.reference(x.quant.to_real(codes), (x,), out) - bias).max() < 1e-7


def test_epsilon_counts(apply):
    """Codes so small that epsilon is most of the variance."""
    x = TensorSpec((1, 8), QuantSpec(16, True, (1e-5,)))
    codes = np.random.default_rng(0).integers(-200, 200, (50, 8)).astype(np.int16)
    weight, bias = np.linspace(-2, 2, 8), np.zeros(8)
    wanted = layer_norm(codes, x, weight, bias, 1e-5)
    op = dataclasses.replace(
        PtfLayerNorm.lower(x, weight, bias, 1e-5, QuantSpec(8, True, (0.0125,))), multiplier_bits=16
    )
    assert op.epsilon == 6_400_000
    result, _ = apply(op, (codes, x))
    assert np.abs(result * 0.0125 - wanted).max() <= 0.51 * 0.0125


def test_a_common_shift_of_alpha_changes_the_root_alone():
    """Narrow codes are refined, and codes whose squares would not fit are coarsened."""
    common = {}
    for bits in (4, 8, 16, 20, 24):
        x = TensorSpec((1, 3072), QuantSpec(bits, True, (0.01,)))
        common[bits] = PtfLayerNorm.lower(x, np.ones(3072), np.zeros(3072), 1e-6, OUT).alpha[0]
    assert common == {4: 12, 8: 8, 16: 0, 20: -2, 24: -6}


def test_worked_example(apply):
    """docs/semantics.md, S11b."""
    x = TensorSpec((1, 4), QuantSpec(5, True, (1.0, 1.0, 2.0, 1.0), (0,) * 4, 1))
    op = PtfLayerNorm(QuantSpec(4, True, (0.25,)), (0, 0, 1, 0), (4,) * 4, (0,) * 4, 22, multiplier_bits=4)
    assert exact([1, 2, 1, 10], op) == [-3, -2, -2, 7]
    assert apply(op, (np.array([[1, 2, 1, 10]], np.int8), x))[0].tolist() == [[-3, -2, -2, 7]]


FIELDS = {"spec": OUT, "alpha": (0, 0), "gain": (1, 2), "offset": (3, 4), "shift": 1}
X = TensorSpec((1, 2), QuantSpec(8, True, (0.1,)))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"gain": (1,)}, "ptflayernorm: one offset per gain, got 2 for 1"),
        ({"multiplier_bits": 0}, "ptflayernorm: multiplier_bits must be 1..31, got 0"),
        ({"multiplier_bits": 32}, "ptflayernorm: multiplier_bits must be 1..31, got 32"),
        ({"alpha": (0, 32)}, "ptflayernorm: alpha must be -31..31, got 32 at 1"),
    ],
)
def test_built_wrong(fields, text):
    with pytest.raises(ValueError, match=r".") as caught:
        PtfLayerNorm(**{**FIELDS, **fields})
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("fields", "x", "text"),
    [
        ({}, TensorSpec((1, 2)), "ptflayernorm takes codes of an affine grid, got (B, 2) float; quantize its input"),
        (
            {},
            TensorSpec((1, 2, 2), QuantSpec(8, True, (0.1, 0.2), (0, 0), 1)),
            "ptflayernorm takes codes with channels along axis 2, got (B, 2, 2) s8 per_channel(axis=1, n=2); "
            "requantize its input to one scale",
        ),
        (
            {},
            TensorSpec((1, 2), QuantSpec(8, True, (0.1, 0.3), (0, 0), 1)),
            "ptflayernorm takes scales that are powers of two apart, got s8 per_channel(axis=1, n=2); "
            "round them to such",
        ),
        (
            {},
            TensorSpec((1, 2), QuantSpec(8, True, (0.1, 0.2), (0, 0), 1)),
            "alpha must bring all channels to one scale, got [-1, 0]; lower it again",
        ),
        ({"alpha": (0,)}, X, "2 exponents alpha are needed, got 1; lower it again"),
        ({}, TensorSpec((1, 3), X.quant), "3 gains are needed, got 2; check the layer"),
        (
            {"alpha": (24, 24)},
            X,
            "ptflayernorm's sum of squares needs 66 bits, got 60; lower the bits of its input",
        ),
    ],
)
def test_illegal(fields, x, text):
    with pytest.raises(IllegalModel) as caught:
        PtfLayerNorm(**{**FIELDS, **fields}).infer((x,))
    assert str(caught.value) == text


def test_too_many_channels():
    x = TensorSpec((1, 2**14 + 1), QuantSpec(1, False, (0.1,)))
    with pytest.raises(IllegalModel) as caught:
        PtfLayerNorm.lower(x, np.ones(2**14 + 1), np.zeros(2**14 + 1), 0.0, OUT).infer((x,))
    assert str(caught.value) == "ptflayernorm takes up to 16384 channels, got 16385; use ilayernorm"


def test_epsilon_counts_where_the_common_scale_is_chosen():
    """At one step finer the sum of squares and epsilon would need 61 bits."""
    x = TensorSpec((1, 64), QuantSpec(24, True, (1e-8,)))
    op = PtfLayerNorm.lower(x, np.ones(64), np.zeros(64), 1e-6, OUT)
    assert set(op.alpha) == {-1}
    assert op.epsilon == round(64 * 64 * 1e-6 / 2e-8**2)
    assert op.infer((x,)).quant == OUT
    with pytest.raises(IllegalModel, match=r"^ptflayernorm's sum of squares needs 61 bits, got 60; "):
        dataclasses.replace(op, alpha=(0,) * 64, epsilon=4 * op.epsilon).infer((x,))


@pytest.mark.parametrize(
    ("scale", "epsilon", "text"),
    [
        ((1e306,), 1e-6, "ptflayernorm needs scales of 2**-100..2**100, got 1e+306; calibrate it again"),
        ((1.0, 2.0**32), 1e-6, "ptflayernorm takes scales up to 2**31 apart, got 2**32; calibrate them again"),
        ((1.0,), math.nan, "ptflayernorm takes an epsilon of 0..1, got nan; check the layer"),
    ],
)
def test_a_layer_that_cannot_be_lowered(scale, epsilon, text):
    axis = None if len(scale) == 1 else 1
    x = TensorSpec((1, 2), QuantSpec(8, True, scale, (0,) * len(scale), axis))
    with pytest.raises(IllegalModel) as caught:
        PtfLayerNorm.lower(x, np.ones(2), np.zeros(2), epsilon, OUT)
    assert str(caught.value) == text


def test_cost():
    x = TensorSpec((1, 3, 4), QuantSpec(8, True, (0.1,)))
    op = PtfLayerNorm(OUT, (8,) * 4, (1000,) * 4, (0,) * 4, 12)
    assert op.count((x,), op.infer((x,))) == {
        Action("mul", 31, 11): 12,
        Action("add", 42, 42): 24,
        Action("shift", 42, 42): 12,
        Action("shift", 8, 16): 12,
        Action("add", 16, 19): 12,
        Action("mul", 16, 3): 12,
        Action("add", 19, 19): 12,
        Action("mul", 16, 16): 12,
        Action("add", 32, 35): 12,
        Action("mul", 19, 8): 12,
        Action("shift", 27, 27): 12,
        Action("mul", 35, 3): 3,
        Action("mul", 19, 19): 3,
        Action("add", 38, 38): 6,
        Action("sqrt", 38, 38): 3,
        Action("div", 27, 19): 3,
    }
