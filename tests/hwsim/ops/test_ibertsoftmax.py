import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import IllegalModel
from hwsim.op import Action
from hwsim.ops._scores import row_bits
from hwsim.ops.ibertsoftmax import IBertSoftmax
from hwsim.spec import QuantSpec, TensorSpec

A, B = 0.35815147, 0.96963238


def spec(scale, length, bits=8):
    return TensorSpec((1, length), QuantSpec(bits, True, (scale,)))


def constants(scale):
    return math.ceil(0.6931 / scale), math.floor(B / A / scale), math.floor(1 / A / scale / scale)


def weight(x, ln2, b, c, n, halvings):
    """S12b, in Python's integers."""
    z, minus_r = divmod(min(-x, halvings * ln2), ln2)
    return ((minus_r * minus_r - minus_r * b + c) << n) >> z


@given(
    data=st.data(),
    scale=st.floats(0.001, 0.1),
    width=st.integers(2, 12),
    k=st.integers(20, 62),
    halvings=st.sampled_from((1, 15, 31, 62)),
)
def test_equals_unbounded_integers(draw, apply, data, scale, width, k, halvings):
    grid = dataclasses.replace(draw.grid(data, width), scale=(scale,))
    scores = TensorSpec((2, 3, data.draw(st.integers(1, 30))), grid)
    codes = draw.codes(data, scores)
    bits = data.draw(st.integers(1, 16))
    op = dataclasses.replace(IBertSoftmax.lower(scores, bits), reciprocal_bits=k, halvings=halvings)
    assert (op.ln2, op.b, op.c) == constants(scale)
    result, out = apply(op, (codes, scores))
    assert out.quant == QuantSpec(bits, False, (2.0**-bits,))
    for row, got in zip(codes.reshape(-1, codes.shape[-1]).tolist(), result.reshape(-1, codes.shape[-1]), strict=True):
        e = [weight(q - max(row), *constants(scale), op.fraction_bits, halvings) for q in row]
        assert max(e) == op.largest
        assert sum(e) < 2 ** (row_bits(scores.shape[-1], op.largest) - 1) <= 2**31
        factor = 2**k // sum(e)
        assert got.tolist() == [min(v * factor >> (k - bits), 2**bits - 1) for v in e]


def test_worked_example(apply):
    """docs/semantics.md, S12b."""
    assert constants(0.1) == (7, 27, 279)
    assert [weight(x, 7, 27, 279, 0, 31) for x in (0, -5, -14)] == [279, 169, 69]
    op = IBertSoftmax(7, 27, 279, fraction_bits=0, bits=8, reciprocal_bits=16)
    result, _ = apply(op, (np.array([[4, -1, -10]], np.int8), spec(0.1, 3)))
    assert result.tolist() == [[137, 83, 33]]


@pytest.mark.parametrize("scale", [0.1, 0.03, 0.011])
def test_the_released_weights(scale):
    """n = 30 and its clamp, in float64, which holds their 45 bits exactly; float32, as released, does not."""
    x = -np.arange(0, 31 * constants(scale)[0], 7)
    ln2, b, c = constants(scale)

    def released(kind):
        y = np.maximum(x, -30 * ln2).astype(kind)
        q = np.floor(y / kind(-ln2))
        r = y + kind(ln2) * q
        return np.floor((r * (r + kind(b)) + kind(c)) * 2 ** (30 - q)).astype(object)

    wanted = np.array([weight(int(v), ln2, b, c, 30, 30) for v in x])
    assert (released(np.float64) == wanted).all()
    assert max(int(v) for v in wanted).bit_length() > 38


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"ln2": 0},
            "ibertsoftmax: the polynomial must rise from c / 2 to c over ln2, got ln2=0, b=54, c=1116",
        ),
        (
            {"b": 27},
            "ibertsoftmax: the polynomial must rise from c / 2 to c over ln2, got ln2=14, b=27, c=1116",
        ),
        (
            {"c": 1000},
            "ibertsoftmax: the polynomial must rise from c / 2 to c over ln2, got ln2=14, b=54, c=1000",
        ),
        ({"fraction_bits": 63}, "ibertsoftmax: fraction_bits must be 0..62 and halvings 1..62, got 63 and 31"),
        (
            {"bits": 0},
            "ibertsoftmax: it needs 1 <= bits < reciprocal_bits <= 62 and 2 <= sum_bits <= 62, got 0, 47 and 32",
        ),
    ],
)
def test_built_wrong(fields, text):
    with pytest.raises(ValueError, match=r".") as caught:
        IBertSoftmax(**{"ln2": 14, "b": 54, "c": 1116, "fraction_bits": 13, **fields})
    assert str(caught.value) == text


def test_constants_of_another_scale_are_refused():
    with pytest.raises(IllegalModel) as caught:
        IBertSoftmax(14, 54, 1116, 13).infer((spec(0.1, 5),))
    assert str(caught.value) == "a score scale of 0.1 has ln2, b, c = (7, 27, 279), got (14, 54, 1116); lower again"


def test_lowered():
    assert IBertSoftmax.lower(spec(0.05, 197), 16) == IBertSoftmax(14, 54, 1116, 13)
    assert IBertSoftmax.lower(spec(0.05, 197), 8) == IBertSoftmax(14, 54, 1116, 13, 8, 39)


def test_cost():
    scores = TensorSpec((1, 2, 5), QuantSpec(8, True, (0.05,)))
    op = IBertSoftmax(14, 54, 1116, 13)  # constants of 4, 6 and 11 bits, weights of 24, sum of 27, reciprocal of 47
    assert op.count((scores,), op.infer((scores,))) == {
        Action("max", 8, 8): 10,
        Action("add", 8, 8): 10,
        Action("div", 9, 4): 10,
        Action("mul", 9, 4): 10,
        Action("add", 9, 9): 10,
        Action("add", 4, 6): 10,
        Action("mul", 4, 6): 10,
        Action("add", 11, 11): 10,
        Action("shift", 24, 24): 10,
        Action("add", 24, 27): 10,
        Action("div", 47, 27): 2,
        Action("mul", 24, 24): 10,
        Action("shift", 47, 47): 10,
    }
