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
from hwsim.ops.ilayernorm import ILayerNorm
from hwsim.ops.ptflayernorm import PtfLayerNorm
from hwsim.spec import QuantSpec, TensorSpec

OUT = QuantSpec(8, True, (0.05,), (-3,))


def exact(row, op):
    """S11a of a row of codes less their zero point, half to even, in Python's integers; no width above 62 bits."""
    q = [v << op.fraction for v in row]
    mean = math.floor(Fraction(sum(q), len(q)) + Fraction(1, 2))
    square = sum((v - mean) ** 2 for v in q) + op.epsilon
    root = max(math.isqrt(square), 1)
    codes = []
    for v, gain, offset in zip(q, op.gain, op.offset, strict=True):
        product = (v - mean) * ((1 << op.reciprocal_bits) // root)
        n = product >> (op.reciprocal_bits - 30)
        wide = n * gain + offset
        assert abs(n) <= 1 << 30
        assert max(square, abs(product), abs(wide)) < 1 << 62
        code = round(Fraction(wide, 1 << op.shift)) + op.spec.zero_point[0]
        codes.append(min(max(code, op.spec.qmin), op.spec.qmax))
    return codes


def residual(channels, bits, rows=400, seed=0):
    """Codes like those of a residual stream: rows with offsets, channels with outliers; weight and bias of a layer."""
    generator = np.random.default_rng(seed)
    x = generator.normal(0, 1, (rows, channels)) + generator.normal(0, 0.5, (rows, 1))
    outliers = slice(None, None, max(channels // 8, 1))
    x[:, outliers] *= generator.uniform(1, 15, x[:1, outliers].shape)
    grid = QuantSpec(bits, True, (float(np.abs(x).max()) / (2 ** (bits - 1) - 1),))
    codes = np.rint(x / grid.scale[0]).astype(grid.container)
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


@given(data=st.data(), width=st.sampled_from((4, 8, 12, 16, 24)), channels=st.integers(1, 40))
def test_equals_unbounded_integers(draw, apply, data, width, channels):
    codes, x = draw.tensor(data, (1, 2, channels), images=2, bits=width)
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    weight, bias = generator.normal(0, 2, channels), generator.normal(0, 1, channels)
    spec = draw.grid(data)
    op = ILayerNorm.lower(x, weight, bias, data.draw(st.sampled_from((0.0, 1e-6, 1e-5, 0.1))), spec)
    op = dataclasses.replace(op, fraction=data.draw(st.sampled_from((op.fraction, 0))))
    result, out = apply(op, (codes, x))
    assert (out.quant, result.dtype) == (spec, spec.container)
    rows = codes.astype(int).reshape(-1, channels) - x.quant.zero_point[0]
    assert result.reshape(-1, channels).tolist() == [exact(row, op) for row in rows.tolist()]


@pytest.mark.parametrize("channels", [16, 192, 3072])
@pytest.mark.parametrize("bits", [8, 16, 24])
def test_rows_at_the_ends_of_the_range(apply, bits, channels):
    """The largest sums of squares there are: half of a row at either end; one channel against all others."""
    x = TensorSpec((1, channels), QuantSpec(bits, True, (1e-4,)))
    low, high = x.quant.qmin, x.quant.qmax
    half = [low] * (channels // 2) + [high] * (channels // 2)
    codes = np.array([half, [high] * (channels - 1) + [low], [low + 1] + [low] * (channels - 1)], x.quant.container)
    op = ILayerNorm.lower(x, np.linspace(-9, 9, channels), np.linspace(40, -40, channels), 1e-6, OUT)
    result, _ = apply(op, (codes, x))
    assert result.tolist() == [exact(row, op) for row in codes.tolist()]


@pytest.mark.parametrize("channels", [16, 64, 384, 3072])
@pytest.mark.parametrize("bits", [8, 12, 16, 24])
def test_distance_to_layer_norm(apply, channels, bits):
    """At 8 bits of output, 1 code of 400 is another one, and its neighbour; at 16 bits, 6 steps at most."""
    codes, x, weight, bias = residual(channels, bits, 100 if channels > 384 else 400)
    wanted = layer_norm(codes, x, weight, bias)
    for width, share, most in ((8, 0.0025, 1), (16, 0.45, 6)):
        spec = grid_for(wanted, width)
        op = ILayerNorm.lower(x, weight, bias, 1e-6, spec)
        result, out = apply(op, (codes, x))
        gap = np.abs(result - np.clip(np.rint(wanted / spec.scale[0]), spec.qmin, spec.qmax))
        assert (gap > 0).mean() <= share
        assert gap.max() <= most
        assert np.abs(op.reference(x.quant.to_real(codes), (x,), out) - wanted).max() <= 1e-6


@pytest.mark.parametrize(
    ("channels", "bits", "percent"),
    [
        (16, 8, (36, 0.03, 5.2, 0.03, 0)),
        (16, 16, (0.13, 0.13, 5.3, 0, 0)),
        (384, 8, (42, 0.15, 0.95, 0.003, 0)),
        (384, 12, (2.6, 0.17, 0.92, 0.004, 0.0007)),
        (384, 16, (0.18, 0.18, 0.92, 0.003, 0.001)),
        (384, 24, (0.40, 0.005, 0.93, 0.005, 0.004)),
    ],
)
def test_table_of_the_semantics(apply, channels, bits, percent):
    """docs/semantics.md, S11: as published, S11a, S11b with 8, 16 and 31 bits of multiplier."""
    codes, x, weight, bias = residual(channels, bits)
    wanted = layer_norm(codes, x, weight, bias)
    spec = grid_for(wanted, 8)
    ours, ptf = (norm.lower(x, weight, bias, 1e-6, spec) for norm in (ILayerNorm, PtfLayerNorm))
    published = dataclasses.replace(ours, fraction=0, reciprocal_bits=31, epsilon=ours.epsilon >> 2 * ours.fraction)
    operators = [published, ours, *(dataclasses.replace(ptf, multiplier_bits=m) for m in (8, 16, 31))]
    clipped = np.clip(np.rint(wanted / spec.scale[0]), spec.qmin, spec.qmax)
    shares = [100 * (apply(op, (codes, x))[0] != clipped).mean() for op in operators]
    assert shares == pytest.approx(percent, rel=0.05, abs=0.0005)


@pytest.mark.parametrize("width", [16, 32, 64])
def test_the_norm_of_a_head(apply, width):
    """IRM of Q-ViT: q and k of 8 bits over 16 to 64 features, with scores of many heads as rows."""
    codes, x, weight, bias = residual(width, 8)
    codes, x = codes.reshape(4, 5, 20, width), TensorSpec((1, 5, 20, width), x.quant)
    wanted = layer_norm(codes, x, weight, bias, 1e-5)
    spec = grid_for(wanted, 4)
    result, _ = apply(ILayerNorm.lower(x, weight, bias, 1e-5, spec), (codes, x))
    assert (result != np.clip(np.rint(wanted / spec.scale[0]), spec.qmin, spec.qmax)).mean() <= 1e-3


def test_the_rounded_mean_of_narrow_codes(apply):
    """The published form, without fraction bits: four codes of ten are others."""
    codes, x, weight, bias = residual(384, 8)
    wanted = layer_norm(codes, x, weight, bias)
    spec = grid_for(wanted, 8)
    op = ILayerNorm.lower(x, weight, bias, 1e-6, spec)
    results = [apply(dataclasses.replace(op, fraction=f, epsilon=0), (codes, x))[0] for f in (0, op.fraction)]
    shares = [(result != np.rint(wanted / spec.scale[0])).mean() for result in results]
    assert op.fraction == 8
    assert shares == pytest.approx([0.42, 0.0015], rel=0.05)


def test_the_reciprocal_of_31_bits_of_wide_codes(apply):
    codes, x, weight, bias = residual(384, 24)
    wanted = layer_norm(codes, x, weight, bias)
    spec = grid_for(wanted, 16)
    op = ILayerNorm.lower(x, weight, bias, 1e-6, spec)
    assert op.reciprocal_bits == 38
    gaps = [
        np.abs(apply(dataclasses.replace(op, reciprocal_bits=bits), (codes, x))[0] * spec.scale[0] - wanted).max()
        for bits in (31, 38)
    ]
    assert gaps[0] > 80 * spec.scale[0]
    assert gaps[1] < spec.scale[0]


def test_a_root_that_stops_too_early_spoils_an_8_bit_residual_stream():
    """Ten Newton steps from 2^16, as released: rows of small codes come out at a fraction of their size."""
    codes = np.random.default_rng(0).normal(0, 2, (1, 64)).round().astype(int)[0]
    y = codes - round(codes.mean())
    early, square = 2**16, int((y * y).sum())
    for _ in range(10):
        early = (early + square // early) // 2
    assert early / math.isqrt(square) > 3


@pytest.mark.parametrize("epsilon", [0.0, 1e-6])
@pytest.mark.parametrize("value", [-128, 0, 77, 127])
def test_a_constant_row_gives_its_bias(apply, value, epsilon):
    x = TensorSpec((1, 5), QuantSpec(8, True, (0.05,), (7,)))
    bias = np.array([0.0, 1.0, -2.0, 0.3, 100.0])
    op = ILayerNorm.lower(x, np.array([1.0, -1.0, 0.0, 5.0, 1.0]), bias, epsilon, OUT)
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
    assert np.abs(wanted).max() < 1.5, "without epsilon it would be 4"
    op = ILayerNorm.lower(x, weight, bias, 1e-5, QuantSpec(8, True, (0.0125,)))
    assert op.epsilon == 800_000
    result, _ = apply(op, (codes, x))
    assert np.abs(result * 0.0125 - wanted).max() <= 0.0125


def test_gains_may_be_zero_or_negative(apply):
    codes, x, _, bias = residual(16, 16)
    for weight in (np.zeros(16), -np.ones(16)):
        op = ILayerNorm.lower(x, weight, bias, 1e-6, OUT)
        result, out = apply(op, (codes, x))
        assert np.abs(out.quant.to_real(result) - layer_norm(codes, x, weight, bias)).max() <= 0.51 * 0.05
    assert ILayerNorm.lower(x, np.zeros(16), np.zeros(16), 0.0, OUT).gain == (0,) * 16


def test_worked_example(apply):
    """docs/semantics.md, S11a."""
    x = TensorSpec((1, 4), QuantSpec(5, True, (1.0,)))
    op = ILayerNorm(QuantSpec(4, True, (0.25,)), (8,) * 4, (2**29,) * 4, 30)
    assert exact([1, 2, 3, 10], op) == [-3, -2, -1, 7]
    assert apply(op, (np.array([[1, 2, 3, 10]], np.int8), x))[0].tolist() == [[-3, -2, -1, 7]]


FIELDS = {"spec": OUT, "gain": (1, 2), "offset": (3, 4), "shift": 1}
X = TensorSpec((1, 2), QuantSpec(8, True, (0.1,)))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"gain": (1,)}, "ilayernorm: one offset per gain, got 2 for 1"),
        ({"gain": (), "offset": ()}, "ilayernorm: one offset per gain, got 0 for 0"),
        ({"gain": (0, -(2**31))}, f"ilayernorm: gain must be below 2**31 in magnitude, got {-(2**31)} at 1"),
        ({"offset": (2**61, 0)}, f"ilayernorm: offset must be below 2**61 in magnitude, got {2**61} at 0"),
        ({"epsilon": -1}, "ilayernorm: epsilon must not be negative, got -1"),
        ({"shift": 63}, "ilayernorm: shift must be 0..62, got 63"),
        ({"rounding": "up"}, "ilayernorm: rounding must be one of half_even, half_up, double_round, floor, got 'up'"),
        ({"fraction": 32}, "ilayernorm: fraction must be 0..31 and reciprocal_bits 30..62, got 32 and 31"),
        ({"reciprocal_bits": 29}, "ilayernorm: fraction must be 0..31 and reciprocal_bits 30..62, got 0 and 29"),
    ],
)
def test_built_wrong(fields, text):
    with pytest.raises(ValueError, match=r".") as caught:
        ILayerNorm(**{**FIELDS, **fields})
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("fields", "x", "text"),
    [
        ({}, TensorSpec((1, 2)), "ilayernorm takes codes of an affine grid, got (B, 2) float; quantize its input"),
        (
            {},
            TensorSpec((1, 2), QuantSpec(8, True, (0.1, 0.2), (0, 0), 1)),
            "ilayernorm takes codes of one scale, got (B, 2) s8 per_channel(axis=1, n=2); "
            "requantize its input to one scale",
        ),
        ({}, TensorSpec((1, 3), X.quant), "3 gains are needed, got 2; check the layer"),
        (
            {"spec": QuantSpec(8, True, (0.1, 0.2), (0, 0), 1)},
            X,
            "ilayernorm gives codes of an affine grid of one scale, got s8 per_channel(axis=1, n=2); "
            "requantize behind it",
        ),
        ({"fraction": 24}, X, "ilayernorm's sum of squares needs 63 bits, got 62; lower the bits of its input"),
        (
            {"epsilon": 2**62},
            X,
            "ilayernorm's sum of squares needs 63 bits, got 62; lower the bits of its input",
        ),
    ],
)
def test_illegal(fields, x, text):
    with pytest.raises(IllegalModel) as caught:
        ILayerNorm(**{**FIELDS, **fields}).infer((x,))
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("weight", "scale", "text"),
    [
        (np.nan, 0.1, "ilayernorm takes finite weights and biases, got NaN or infinity; check the checkpoint"),
        (
            1e20,
            1e-2,
            "ilayernorm's gains and offsets need a shift of 0 or more, got -14; use a coarser output scale",
        ),
        (1e300, 1e-20, "ilayernorm's gains and offsets must be finite, got infinity; use a coarser output scale"),
        (1.0, 1e306, "ilayernorm needs scales of 2**-100..2**100, got 1e+306; calibrate it again"),
        (1.0, 1e-306, "ilayernorm needs scales of 2**-100..2**100, got 1e-306; calibrate it again"),
    ],
)
def test_a_layer_that_cannot_be_lowered(weight, scale, text):
    with pytest.raises(IllegalModel) as caught:
        ILayerNorm.lower(X, np.array([1.0, weight]), np.zeros(2), 1e-6, QuantSpec(8, True, (scale,)))
    assert str(caught.value) == text


def test_cost():
    x = TensorSpec((1, 3, 4), QuantSpec(8, True, (0.1,)))
    op = ILayerNorm(OUT, (1000,) * 4, (0,) * 4, 12, fraction=8)
    assert op.count((x,), op.infer((x,))) == {
        Action("mul", 31, 11): 12,
        Action("add", 42, 42): 24,
        Action("shift", 42, 42): 12,
        Action("shift", 16, 16): 12,
        Action("add", 16, 19): 12,
        Action("add", 16, 16): 12,
        Action("mul", 17, 17): 12,
        Action("add", 33, 32): 12,
        Action("mul", 17, 31): 12,
        Action("shift", 32, 32): 12,
        Action("div", 19, 3): 3,
        Action("add", 32, 32): 3,
        Action("sqrt", 32, 32): 3,
        Action("div", 32, 16): 3,
    }
