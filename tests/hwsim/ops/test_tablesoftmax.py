import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import IllegalModel
from hwsim.op import Action
from hwsim.ops._scores import row_bits
from hwsim.ops.tablesoftmax import TableSoftmax
from hwsim.spec import QuantSpec, TensorSpec


def spec(scale, length, bits=8):
    return TensorSpec((1, length), QuantSpec(bits, True, (scale,)))


@given(data=st.data(), scale=st.floats(1e-6, 1000), width=st.integers(1, 10), k=st.integers(20, 62))
def test_equals_unbounded_integers(draw, apply, data, scale, width, k):
    grid = dataclasses.replace(draw.grid(data, width), scale=(scale,))
    scores = TensorSpec((2, 3, data.draw(st.integers(1, 30))), grid)
    codes = draw.codes(data, scores)
    bits = data.draw(st.integers(1, 16))
    op = dataclasses.replace(TableSoftmax.lower(scores, bits), reciprocal_bits=k)
    result, out = apply(op, (codes, scores))
    assert out.quant == QuantSpec(bits, False, (2.0**-bits,))
    for row, got in zip(codes.reshape(-1, codes.shape[-1]).tolist(), result.reshape(-1, codes.shape[-1]), strict=True):
        e = [op.table[max(row) - q] for q in row]
        assert sum(e) < 2 ** (row_bits(scores.shape[-1], op.table[0]) - 1) <= 2**31
        factor = 2**k // sum(e)
        half = 2 ** (k - bits - 1)
        assert got.tolist() == [min(v * factor + half >> (k - bits), 2**bits - 1) for v in e]


def test_worked_example(apply):
    """docs/semantics.md, S12d."""
    table = tuple(round(math.exp(-d / 4) * 15) for d in range(4))
    assert table == (15, 12, 9, 7)
    op = TableSoftmax(table, bits=4, reciprocal_bits=10)
    scores = TensorSpec((1, 3), QuantSpec(2, False, (0.25,)))
    result, _ = apply(op, (np.array([[3, 1, 0]], np.uint8), scores))
    assert result.tolist() == [[8, 5, 4]]


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize(("length", "steps"), [(17, 1.001), (197, 1.25)])
def test_steps_from_the_float_softmax(apply, bits, length, steps):
    """Of the output's own step; a probability of 1 is one short. Rows: one on top, the rest at each distance below."""
    worst = 0.0
    for scale in np.linspace(0.005, 0.3, 25):
        scores = spec(float(scale), length, 10)
        codes = np.full((1024, length), 511, np.int16)
        codes[:, 1:] -= np.arange(1024, dtype=np.int16)[:, np.newaxis]
        op = TableSoftmax.lower(scores, bits)
        result, out = apply(op, (codes, scores))
        worst = max(worst, np.abs(result * 2.0**-bits - op.reference(scores.quant.to_real(codes), (), out)).max())
    assert 0.9 < worst * 2**bits <= steps


def test_long_rows_need_a_wider_sum(apply):
    """At 577 scores 32 bits leave entries of 21, too few for 16-bit codes; 40 bits of sum do."""
    scores = spec(0.014, 577, 10)
    narrow = TableSoftmax.lower(scores, 16)
    assert narrow.table[0] == 2**21 - 1
    table = tuple(round(math.exp(-d * 0.014) * (2**26 - 1)) for d in range(1024))
    wide = TableSoftmax(table, 16, 56, 40)
    codes = np.full((1024, 577), 511, np.int16)
    codes[:, 1:] -= np.arange(1024, dtype=np.int16)[:, np.newaxis]
    worst = []
    for op in (narrow, wide):
        result, out = apply(op, (codes, scores))
        worst.append(np.abs(result - op.reference(scores.quant.to_real(codes), (), out) * 2**16).max())
    assert worst[0] > 5
    assert worst[1] <= 1


def test_lowered():
    """Entries as much wider than the output as the row's length has bits, unless the sum's 32 bits leave fewer."""
    for length, bits, entry_bits in ((197, 16, 23), (197, 8, 16), (65, 16, 23), (17, 16, 21), (64, 8, 14), (1, 8, 8)):
        op = TableSoftmax.lower(spec(0.05, length), bits)
        assert op.table[0] == 2**entry_bits - 1
        assert op.table[20] == round(math.exp(-1) * op.table[0])
        assert len(op.table) == 256
        assert op.reciprocal_bits == (length * op.table[0]).bit_length() + bits + 2


TABLE = (9, 5, 3, 1)


@pytest.mark.parametrize("table", [(), (0, 0), (-1, -2), (4, 5), (4, -1), (4, 2, 3)])
def test_a_table_falls(table):
    with pytest.raises(ValueError, match=r".") as caught:
        TableSoftmax(table)
    assert (
        str(caught.value) == f"tablesoftmax: entries must fall from above 0 to no less than 0, got {table}; lower again"
    )


def test_built_wrong():
    with pytest.raises(ValueError, match=r".") as caught:
        TableSoftmax(TABLE, bits=16, reciprocal_bits=16)
    assert str(caught.value) == (
        "tablesoftmax: it needs 1 <= bits < reciprocal_bits <= 62 and 2 <= sum_bits <= 62, got 16, 16 and 32"
    )


def test_illegal():
    with pytest.raises(IllegalModel) as caught:
        TableSoftmax.lower(spec(0.05, 5, 11), 16)
    text = "a table has scores of at most 10 bits, got 11; give score_bits 10 or fewer"
    assert str(caught.value) == text
    with pytest.raises(IllegalModel) as caught:
        TableSoftmax(TABLE).infer((spec(0.05, 5, 11),))
    assert str(caught.value) == text
    with pytest.raises(IllegalModel) as caught:
        TableSoftmax(TABLE).infer((spec(0.05, 5, 3),))
    assert str(caught.value) == "the table of 3-bit scores has 8 entries, got 4; lower again"


def test_cost():
    scores = TensorSpec((1, 2, 5), QuantSpec(2, True, (0.05,)))
    op = TableSoftmax(TABLE, 8, 16)  # weights of 4 bits, sum of 7
    assert op.count((scores,), op.infer((scores,))) == {
        Action("max", 2, 2): 10,
        Action("add", 2, 2): 10,
        Action("lookup", 2, 4): 10,
        Action("add", 4, 7): 10,
        Action("div", 16, 7): 2,
        Action("mul", 4, 13): 10,
        Action("add", 16, 16): 10,
        Action("shift", 16, 16): 10,
    }
