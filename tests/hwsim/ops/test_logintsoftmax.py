import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import IllegalModel
from hwsim.op import Action
from hwsim.ops._scores import row_bits
from hwsim.ops.ibertsoftmax import IBertSoftmax
from hwsim.ops.logintsoftmax import LogIntSoftmax
from hwsim.spec import QuantSpec, TensorSpec


def spec(scale, length, bits=8):
    return TensorSpec((1, length), QuantSpec(bits, True, (scale,)))


def weight(x, op):
    """S12b, in Python's integers."""
    z, minus_r = divmod(min(-x, op.halvings * op.ln2), op.ln2)
    return ((minus_r * minus_r - minus_r * op.b + op.c) << op.fraction_bits) >> z


def code_of(total, e, last):
    """S12c: the least k with sum / e < 1.5 * 2^k."""
    return last if e == 0 else min(next(k for k in range(99) if Fraction(total, e) < Fraction(3, 2) * 2**k), last)


@given(
    data=st.data(),
    scale=st.floats(0.001, 0.1),
    width=st.integers(2, 12),
    grid_of=st.sampled_from([(bits, zero) for bits in range(1, 6) for zero in (True, False) if bits < 5 or zero]),
    halvings=st.sampled_from((1, 15, 31, 62)),
)
def test_equals_unbounded_integers(draw, apply, data, scale, width, grid_of, halvings):
    bits, zero = grid_of
    grid = dataclasses.replace(draw.grid(data, width), scale=(scale,))
    scores = TensorSpec((2, 3, data.draw(st.integers(1, 30))), grid)
    codes = draw.codes(data, scores)
    op = dataclasses.replace(LogIntSoftmax.lower(scores), bits=bits, zero=zero, halvings=halvings)
    result, _ = apply(op, (codes, scores))
    assert result.dtype == np.uint8
    for row, got in zip(codes.reshape(-1, codes.shape[-1]).tolist(), result.reshape(-1, codes.shape[-1]), strict=True):
        e = [weight(q - max(row), op) for q in row]
        assert max(e) == op.largest
        assert sum(e) < 2 ** (row_bits(scores.shape[-1], op.largest) - 1) <= 2**31
        assert got.tolist() == [code_of(sum(e), v, 2**bits - 1) for v in e]


def test_worked_example(apply):
    """docs/semantics.md, S12c."""
    op = LogIntSoftmax(7, 27, 279, fraction_bits=0)
    assert [weight(x, op) for x in (0, -5, -14, -70)] == [279, 169, 69, 0]
    result, out = apply(op, (np.array([[64, 59, 50, -6]], np.int8), spec(0.1, 4)))
    assert result.tolist() == [[1, 2, 3, 15]]
    assert out.quant.to_real(result).tolist() == [[0.5, 0.25, 0.125, 0]]


@pytest.mark.parametrize(
    ("bits", "zero"), [*((bits, zero) for bits in range(1, 5) for zero in (True, False)), (5, True)]
)
def test_never_more_codes_than_the_bits_hold(apply, bits, zero):
    """The released code has one level more: 2^-15 and 0 besides."""
    scores = spec(0.02, 2, 12)
    codes = np.stack([np.arange(-2048, 2048), np.full(4096, 2047)], axis=-1).astype(np.int16)
    op = dataclasses.replace(LogIntSoftmax.lower(scores, bits), zero=zero)
    result, out = apply(op, (codes, scores))
    made = set(out.quant.to_real(result).ravel().tolist())
    last = 0.0 if zero else 2.0 ** -(2**bits - 1)
    assert made == {2.0**-k for k in range(2**bits - 1)} | {last}
    assert set(result.ravel().tolist()) == set(range(2**bits))


def test_the_grid_quantizes_alike(apply):
    """The boundaries of the output's grid (S14) are those of the codes: e / sum falls into the code's interval."""
    scores = spec(0.03, 12)
    codes = np.random.default_rng(0).integers(-128, 128, (400, 12)).astype(np.int8)
    op = LogIntSoftmax.lower(scores)
    result, out = apply(op, (codes, scores))
    grid = out.quant
    order = grid.order()
    for row, got in zip(codes.tolist(), result.tolist(), strict=True):
        e = [weight(q - max(row), op) for q in row]
        units = [v / sum(e) / grid.scale[0] for v in e]
        assert got == [int(order[np.searchsorted(grid.boundaries, unit, side="right")]) for unit in units]


def test_rows_do_not_add_up_to_one(apply):
    """Between three quarters and one and a half: each code is off by a factor of 0.75 to 1.5."""
    scores = spec(0.05, 3)
    totals = []
    for codes in ([0, 0, 0], [0, -14, -14], [0, -35, -35]):
        result, out = apply(LogIntSoftmax.lower(scores), (np.array([codes], np.int8), scores))
        totals.append(out.quant.to_real(result).sum())
    assert totals == [0.75, 1.0, 1.25]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"bits": 6}, "log2: bits must be 1..5, got 6"),
        ({"bits": 5, "zero": False}, "log2: bits must be 1..4, got 5"),
        ({"sum_bits": 62}, "logintsoftmax: sum_bits must be 2..61, got 62"),
        (
            {"c": 1000},
            "logintsoftmax: the polynomial must rise from c / 2 to c over ln2, got ln2=14, b=54, c=1000",
        ),
        ({"halvings": 0}, "logintsoftmax: fraction_bits must be 0..62 and halvings 1..62, got 13 and 0"),
    ],
)
def test_built_wrong(fields, text):
    with pytest.raises(ValueError, match=r".") as caught:
        LogIntSoftmax(**{"ln2": 14, "b": 54, "c": 1116, "fraction_bits": 13, **fields})
    assert str(caught.value) == text


def test_too_wide_codes_are_refused():
    with pytest.raises(IllegalModel) as caught:
        LogIntSoftmax.lower(spec(0.05, 5), 16)
    assert str(caught.value) == "log2 codes have 1..5 bits, got 16; give softmax_bits 1..5"


def test_constants_of_another_scale_are_refused():
    with pytest.raises(IllegalModel) as caught:
        LogIntSoftmax(14, 54, 1116, 13).infer((spec(0.1, 5),))
    assert str(caught.value) == "a score scale of 0.1 has ln2, b, c = (7, 27, 279), got (14, 54, 1116); lower again"


def test_lowered_like_ibert():
    """The same weights; the last code is zero unless said otherwise."""
    op, same = (cls.lower(spec(0.05, 197)) for cls in (LogIntSoftmax, IBertSoftmax))
    assert op == LogIntSoftmax(14, 54, 1116, 13, 4, True)
    assert (op.ln2, op.b, op.c, op.fraction_bits) == (same.ln2, same.b, same.c, same.fraction_bits)
    assert math.log2(op.largest) < 24


def test_cost():
    scores = TensorSpec((1, 2, 5), QuantSpec(8, True, (0.05,)))
    op = LogIntSoftmax(14, 54, 1116, 13)  # constants of 4, 6 and 11 bits, weights of 24, sum of 27
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
        Action("div", 27, 24): 10,
        Action("shift", 27, 27): 10,
    }
