import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import IllegalModel
from hwsim.op import Action
from hwsim.ops._scores import row_bits
from hwsim.ops.shiftmax import Shiftmax
from hwsim.spec import QuantSpec, TensorSpec


def spec(scale, length, bits=8):
    return TensorSpec((1, length), QuantSpec(bits, True, (scale,)))


def weight(x, unit, n, halvings):
    """S12a, in Python's integers."""
    p = max(x + (x >> 1) - (x >> 4), -halvings * unit)
    z = -p // unit
    return (((p + z * unit) >> 1) + unit << n) >> z


@given(
    data=st.data(),
    scale=st.floats(0.004, 0.25),
    width=st.integers(2, 12),
    k=st.integers(20, 62),
    halvings=st.sampled_from((1, 15, 31, 62)),
)
def test_equals_unbounded_integers(draw, apply, data, scale, width, k, halvings):
    grid = dataclasses.replace(draw.grid(data, width), scale=(scale,))
    scores = TensorSpec((2, 3, data.draw(st.integers(1, 30))), grid)
    codes = draw.codes(data, scores)
    bits = data.draw(st.integers(1, 16))
    op = dataclasses.replace(Shiftmax.lower(scores, bits), reciprocal_bits=k, halvings=halvings)
    result, out = apply(op, (codes, scores))
    assert out.quant == QuantSpec(bits, False, (2.0**-bits,))
    for row, got in zip(codes.reshape(-1, codes.shape[-1]).tolist(), result.reshape(-1, codes.shape[-1]), strict=True):
        e = [weight(q - max(row), math.ceil(1 / scale - 1e-6), op.fraction_bits, halvings) for q in row]
        assert max(e) == op.largest
        assert sum(e) < 2 ** (row_bits(scores.shape[-1], op.largest) - 1) <= 2**31
        factor = (2**k - 1) // sum(e)
        assert got.tolist() == [v * factor >> (k - bits) for v in e]


def test_worked_example(apply):
    """docs/semantics.md, S12a."""
    scores = spec(0.25, 3)
    assert [weight(x, 4, 2, 31) for x in (0, -3, -8)] == [16, 8, 2]
    op = Shiftmax(unit=4, bits=4, fraction_bits=2, reciprocal_bits=10)
    result, _ = apply(op, (np.array([[9, 6, 1]], np.int8), scores))
    assert result.tolist() == [[9, 4, 1]]


def released(codes, scale, bits):
    """Shiftmax in exact float64, as the released PyTorch code orders it, but r / 2 floored and the output unsigned."""
    x = codes - codes.max(axis=-1, keepdims=True).astype(np.float64)
    x = x + np.floor(x / 2) - np.floor(x / 16)
    x0 = np.floor(-1 / scale)
    x = np.maximum(x, 15 * x0)
    q = np.floor(x / x0)
    e = np.floor((np.floor((x - x0 * q) / 2) - x0) * 2 ** (15 - q))
    factor = np.floor((2**31 - 1) / e.sum(axis=-1, keepdims=True))
    return np.floor(e * factor / 2 ** (31 - bits))


@pytest.mark.parametrize("scale", [2.0**-3, 2.0**-5, 0.03, 0.011])
def test_the_released_clamp_and_reciprocal(apply, scale):
    """With halvings = n = 15 and a reciprocal of 31 bits, nothing else departs; masked scores then keep 2^-15."""
    scores = spec(scale, 65, 12)
    codes = np.random.default_rng(0).integers(-800, 800, (40, 65)).astype(np.int16)
    op = dataclasses.replace(Shiftmax.lower(scores, 16), halvings=15, reciprocal_bits=31)
    assert op.fraction_bits == 15
    result, _ = apply(op, (codes, scores))
    assert (result == released(codes, scale, 16)).all()
    far = np.full((1, 65), -2048, np.int16)
    far[0, 0] = 2047
    assert apply(op, (far, scores))[0][0, 1:].tolist() == [1] * 64
    assert apply(dataclasses.replace(op, halvings=31), (far, scores))[0][0, 1:].tolist() == [0] * 64


def test_the_released_reciprocal_loses_a_quarter_of_a_row(apply):
    """The sum of 197 equal scores of scale 0.01 has 30 bits, and 2^31 / sum = 3.3 becomes 3."""
    scores, codes = spec(0.01, 197), np.zeros((1, 197), np.int8)
    wide = Shiftmax.lower(scores, 16)
    assert wide.reciprocal_bits == 47
    for op, low, high in ((wide, 0.997, 1), (dataclasses.replace(wide, reciprocal_bits=31), 0.9, 0.91)):
        result, out = apply(op, (codes, scores))
        assert low < out.quant.to_real(result).sum() <= high
    scores, codes = spec(0.01, 197), np.random.default_rng(0).integers(-25, 26, (300, 197)).astype(np.int8)
    result, out = apply(dataclasses.replace(wide, reciprocal_bits=31), (codes, scores))
    assert 0.75 < out.quant.to_real(result).sum(axis=-1).min() < 0.77


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"unit": 0}, "shiftmax: unit must be 1..2**31, got 0"),
        ({"unit": 2**31 + 1}, "shiftmax: unit must be 1..2**31, got 2147483649"),
        ({"fraction_bits": -1}, "shiftmax: fraction_bits must be 0..62 and halvings 1..62, got -1 and 31"),
        ({"halvings": 63}, "shiftmax: fraction_bits must be 0..62 and halvings 1..62, got 15 and 63"),
        (
            {"bits": 31},
            "shiftmax: it needs 1 <= bits < reciprocal_bits <= 62 and 2 <= sum_bits <= 62, got 31, 31 and 32",
        ),
        (
            {"sum_bits": 63},
            "shiftmax: it needs 1 <= bits < reciprocal_bits <= 62 and 2 <= sum_bits <= 62, got 16, 31 and 63",
        ),
    ],
)
def test_built_wrong(fields, text):
    with pytest.raises(ValueError, match=r".") as caught:
        Shiftmax(**{"unit": 20, **fields})
    assert str(caught.value) == text


def test_constants_of_another_scale_are_refused():
    with pytest.raises(IllegalModel) as caught:
        Shiftmax(unit=20).infer((spec(0.04, 5),))
    assert str(caught.value) == "a score scale of 0.04 has unit 25, got 20; lower again"


def test_lowered():
    """n = 15 unless the row's sum leaves less."""
    assert Shiftmax.lower(spec(0.05, 197), 16) == Shiftmax(20, 16, 15, reciprocal_bits=47)
    assert Shiftmax.lower(spec(0.05, 197), 8) == Shiftmax(20, 8, 15, reciprocal_bits=39)
    assert Shiftmax.lower(spec(0.002, 197), 16).fraction_bits == 14


def test_cost():
    scores = TensorSpec((1, 2, 5), QuantSpec(8, True, (0.05,)))
    op = Shiftmax(20)  # unit of 5 bits, weights of 20, sum of 23, reciprocal of 31
    assert op.count((scores,), op.infer((scores,))) == {
        Action("max", 8, 8): 10,
        Action("add", 8, 8): 10,
        Action("shift", 10, 10): 20,
        Action("add", 10, 10): 30,
        Action("div", 10, 5): 10,
        Action("mul", 10, 5): 10,
        Action("shift", 5, 5): 10,
        Action("add", 5, 5): 10,
        Action("shift", 20, 20): 10,
        Action("add", 20, 23): 10,
        Action("div", 31, 23): 2,
        Action("mul", 20, 12): 10,
        Action("shift", 31, 31): 10,
    }
