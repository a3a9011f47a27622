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
from hwsim.ops.igelu import IGelu
from hwsim.ops.lookup import Lookup
from hwsim.ops.shiftgelu import ShiftGelu
from hwsim.spec import QuantSpec, TensorSpec


def span(bits, reach):
    """A row of all codes of a signed grid of -reach..reach, and its spec."""
    grid = QuantSpec(bits, True, (reach / 2 ** (bits - 1),))
    codes = grid.codebook().astype(grid.container).reshape(1, -1)
    return codes, TensorSpec(codes.shape, grid)


def gelu(x):
    return torch.nn.functional.gelu(torch.from_numpy(x)).numpy()


def exact(row, op):
    """S13c of a row of codes less their zero point, half to even, in Python's integers."""

    def exponential(q):
        v = (q - top) << op.fraction
        p = max(v + (v >> 1) - (v >> 4), -op.halvings * op.unit)
        k, rest = divmod(-p, op.unit)
        e = ((-rest >> 1) + op.unit) << (op.halvings - k)
        assert 0 < e << (op.sigmoid_bits - 1) < 2**62
        return e

    top = max(0, *row)
    high = (1 << (op.bits - 1)) - 1
    codes = []
    for q in row:
        w = (exponential(q) << (op.sigmoid_bits - 1)) // (exponential(q) + exponential(0))
        assert 0 <= w < 1 << (op.sigmoid_bits - 1)
        code = round(Fraction(q * w, 1 << op.shift))
        assert -high - 1 <= code <= high + 1, "nothing but the last rounding may saturate"
        codes.append(min(code, high))
    return codes


@given(data=st.data(), width=st.integers(2, 16), bits=st.integers(4, 24), sigmoid_bits=st.integers(2, 12))
def test_equals_unbounded_integers(draw, apply, data, width, bits, sigmoid_bits):
    codes, x = draw.tensor(data, (1, 3, 6), bits=width)
    op = ShiftGelu.lower(x, None, bits)
    halvings = min(op.halvings, 62 - op.unit.bit_length() - sigmoid_bits + 1)
    shift = max(0, op.shift + sigmoid_bits - 8) if op.shift else max(0, width + 1 + sigmoid_bits - bits)
    op = dataclasses.replace(op, sigmoid_bits=sigmoid_bits, halvings=halvings, shift=shift)
    result, out = apply(op, (codes, x))
    assert out.quant == QuantSpec(bits, True, (x.quant.scale[0] * 2.0 ** (shift - sigmoid_bits + 1),))
    centred = codes.astype(int) - x.quant.zero_point[0]
    assert result.tolist() == [[exact(row, op) for row in image] for image in centred.tolist()]


@pytest.mark.parametrize("bits", [24, 32])
def test_wide_codes_at_the_ends_of_their_range(apply, bits):
    grid = QuantSpec(bits, True, (8 / 2 ** (bits - 1),))
    row = [grid.qmin, grid.qmax, 0, -1, 1, grid.qmin // 8, grid.qmax // 3]
    codes = np.array([row, row[::-1]], grid.container)
    x = TensorSpec((1, 7), grid)
    op = ShiftGelu.lower(x)
    assert apply(op, (codes, x))[0].tolist() == [exact(row, op), exact(row[::-1], op)]


@pytest.mark.parametrize(
    ("bits", "reach", "most", "mean"),
    [
        (8, 4, 0.040, 0.0125),
        (8, 8, 0.063, 0.018),
        (8, 16, 0.125, 0.033),
        (10, 8, 0.063, 0.018),
        (16, 4, 0.042, 0.0125),
        (16, 8, 0.063, 0.018),
    ],
)
def test_distance_to_gelu_over_all_codes(apply, bits, reach, most, mean):
    """As one row, and with each code in a row of its own; the 8-bit sigmoid loses up to reach / 128 of a large x."""
    codes, x = span(bits, reach)
    op = ShiftGelu.lower(x)
    real = x.quant.to_real(codes)
    for shape in (codes.shape, codes.shape[::-1]):
        spec = TensorSpec((1, shape[1]), x.quant)
        result, out = apply(op, (codes.reshape(shape), spec))
        distance = np.abs(out.quant.to_real(result).reshape(1, -1) - gelu(real))
        assert distance.max() <= most
        assert distance.mean() <= mean
    assert np.abs(op.reference(real, (x,), out) - gelu(real)).max() <= 1e-14


@pytest.mark.parametrize(
    ("reach", "bits", "table", "parabola", "shift", "published"),
    [
        (4, 8, 0.00006, 0.018, 0.039, 0.039),
        (8, 8, 0.00012, 0.018, 0.062, 0.56),
        (16, 8, 0.00023, 0.018, 0.12, 8.0),
        (8, 10, 0.00012, 0.018, 0.063, 0.63),
        (8, 16, None, 0.018, 0.063, 0.63),
        (16, 16, None, 0.018, 0.50, 8.0),
    ],
)
def test_table_of_the_semantics(apply, reach, bits, table, parabola, shift, published):
    """docs/semantics.md, S13."""
    codes, x = span(bits, reach)
    op = ShiftGelu.lower(x)
    operators = [(IGelu.lower(x), parabola), (op, shift), (dataclasses.replace(op, halvings=23), published)]
    if table:
        operators.append((Lookup.lower(x, QuantSpec(16, True, (reach / 2**15,))), table))
    for operator, wanted in operators:
        result, out = apply(operator, (codes, x))
        distance = np.abs(out.quant.to_real(result) - gelu(x.quant.to_real(codes))).max()
        assert distance == pytest.approx(wanted, rel=0.04)


def test_a_wider_sigmoid_is_nearer(apply):
    codes, x = span(8, 8)
    op = dataclasses.replace(ShiftGelu.lower(x), sigmoid_bits=14, shift=6, halvings=39)
    result, out = apply(op, (codes, x))
    assert np.abs(out.quant.to_real(result) - gelu(x.quant.to_real(codes))).max() < 0.0235


def test_the_row_is_reduced(apply):
    """The same code gives another one beside a larger neighbour: nothing streams before the row is complete."""
    x = TensorSpec((1, 2), QuantSpec(8, True, (0.0625,)))
    op = dataclasses.replace(ShiftGelu.lower(x), halvings=23)
    alone, beside = (apply(op, (np.array([row], np.int8), x))[0][0, 0] for row in ([-80, -80], [-80, 127]))
    assert (alone, beside) == (0, -720)  # of -5, whose GELU is 0: beside 7.94 it is taken for -0.35


@pytest.mark.parametrize(("reach", "published", "here"), [(4, 0.040, 0.040), (8, 0.5625, 0.063), (16, 8.0, 0.125)])
def test_the_published_23_halvings_fail_beside_a_large_maximum(apply, reach, published, here):
    """9.4 below the maximum both exponentials are at their floor, and the sigmoid is 1/2 wherever x is negative."""
    codes, x = span(8, reach)
    op = ShiftGelu.lower(x)
    real = x.quant.to_real(codes)
    for halvings, most in ((23, published), (op.halvings, here)):
        result, out = apply(dataclasses.replace(op, halvings=halvings), (codes, x))
        distance = np.abs(out.quant.to_real(result) - gelu(real)).max()
        assert 0.9 * most < distance <= most
    assert op.halvings >= math.ceil(2 * reach * 1.702 * 1.4375 * 0.99) or op.halvings == 47, (
        "what 62 bits have room for"
    )


def released(codes, scale):
    """The released ShiftGELU in float64, whose integers it holds exactly: sums are cut at 2^31 - 1."""

    def exponential(x):
        x = x + np.floor(x / 2) - np.floor(x / 16)
        x0 = np.floor(-1 / (scale * 1.702))
        x = np.maximum(x, 23 * x0)
        k = np.floor(x / x0)
        return np.maximum(np.floor(((x - x0 * k) / 2 - x0) * 2 ** (23 - k)), 0)

    top = codes.max(axis=-1, keepdims=True)
    e, zero = exponential(codes - top), exponential(-top)
    factor = np.floor((2**31 - 1) / np.minimum(e + zero, 2**31 - 1))
    return codes * np.floor(e * factor / 2**24) * scale / 128


@pytest.mark.parametrize(("bits", "gap"), [(8, 0.2459), (16, 71.2)])
def test_the_released_reciprocal_of_31_bits(apply, bits, gap):
    """It has a few bits left with 8-bit codes, and is 1 for 16-bit ones, whose sums have 34."""
    codes, x = span(bits, 4)
    theirs = np.abs(released(codes.astype(np.float64), x.quant.scale[0]) - gelu(x.quant.to_real(codes)))
    assert theirs.max() == pytest.approx(gap, rel=1e-3)
    result, out = apply(ShiftGelu.lower(x), (codes, x))
    assert np.abs(out.quant.to_real(result) - gelu(x.quant.to_real(codes))).max() < 0.042


def test_rows_without_a_positive_code(apply):
    """The maximum is never below zero: exp(0) is always the larger one, and stays within its width."""
    x = TensorSpec((1, 3), QuantSpec(8, True, (0.25,)))
    codes = np.array([[-128, -127, -126], [-3, -2, -1], [0, 0, 0]], np.int8)
    op = ShiftGelu.lower(x)
    result, _ = apply(op, (codes, x))
    assert result.tolist() == [exact(row, op) for row in codes.tolist()]
    assert result[0].tolist() == result[2].tolist() == [0, 0, 0]


def test_worked_example(apply):
    """docs/semantics.md, S13c."""
    x = TensorSpec((1, 3), QuantSpec(3, True, (1.0,)))
    op = ShiftGelu(unit=5, bits=8, fraction=3, halvings=8, sigmoid_bits=5)
    result, out = apply(op, (np.array([[2, 0, -1]], np.int8), x))
    assert result.tolist() == [[30, 0, -3]]
    assert out.quant.scale == (1 / 16,)


X = span(8, 8)[1]
RULE = (
    "shiftgelu: unit, halvings, sigmoid_bits - 1 and fraction + 1 must be 1 or more, and the first three must take "
    "62 bits or fewer together, got "
)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"unit": 0}, RULE + "(0, 23, 7, 1)"),
        ({"halvings": 0}, RULE + "(9, 0, 7, 1)"),
        ({"halvings": 52}, RULE + "(9, 52, 7, 1)"),
        ({"sigmoid_bits": 1}, RULE + "(9, 23, 0, 1)"),
        ({"fraction": -1}, RULE + "(9, 23, 7, 0)"),
        ({"shift": -1}, "shiftgelu: shift must be 0..62, got -1"),
        ({"rounding": "up"}, "shiftgelu: rounding must be one of half_even, half_up, double_round, floor, got 'up'"),
    ],
)
def test_built_wrong(fields, text):
    with pytest.raises(ValueError, match=r".") as caught:
        ShiftGelu(**{"unit": 9, **fields})
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("op", "x", "text"),
    [
        (ShiftGelu(10), X, "a scale of 0.0625 has the unit 9, got 10; lower it again"),
        (
            ShiftGelu(9),
            TensorSpec((1, 3)),
            "shiftgelu takes codes of an affine grid, got (B, 3) float; quantize its input",
        ),
        (
            ShiftGelu(9),
            TensorSpec((1, 3), QuantSpec(8, True, (0.1,) * 3, (0,) * 3, 1)),
            "shiftgelu takes codes of one scale, got (B, 3) s8 per_channel(axis=1, n=3); "
            "requantize its input to one scale",
        ),
        (
            ShiftGelu(round(2**31 / 1.702), halvings=20, fraction=31),
            TensorSpec((1, 3), QuantSpec(32, True, (1.0,))),
            "shiftgelu's refined difference needs 64 bits, got 62; lower the bits of its input",
        ),
    ],
)
def test_illegal(op, x, text):
    with pytest.raises(IllegalModel) as caught:
        op.infer((x,))
    assert str(caught.value) == text


def test_a_scale_too_fine_to_be_lowered():
    with pytest.raises(IllegalModel) as caught:
        ShiftGelu.lower(TensorSpec((1, 3), QuantSpec(32, True, (1e-10,))))
    assert str(caught.value) == "shiftgelu takes a scale of 2e-10 or more, got 1e-10; give fewer gelu_bits"
    assert ShiftGelu.lower(TensorSpec((1, 3), QuantSpec(32, True, (2e-10,)))).halvings == 23


def test_cost():
    """The exponential of zero costs each row one more than its elements."""
    x = TensorSpec((1, 3, 5), QuantSpec(8, True, (0.0625,)))
    op = ShiftGelu.lower(x, None, 12)
    assert (op.unit, op.fraction, op.halvings, op.shift) == (150, 4, 39, 3)
    assert op.count((x,), op.infer((x,))) == {
        Action("max", 8, 8): 15,
        Action("add", 8, 8): 15 + 18,
        Action("shift", 8, 8): 18 + 18,
        Action("shift", 14, 14): 36,
        Action("add", 14, 14): 36,
        Action("max", 14, 14): 18,
        Action("div", 14, 8): 18,
        Action("shift", 47, 47): 18,
        Action("add", 47, 47): 15,
        Action("div", 54, 48): 15,
        Action("mul", 8, 7): 15,
        Action("add", 15, 15): 15,
        Action("shift", 15, 15): 15,
    }
