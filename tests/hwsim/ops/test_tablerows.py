"""Softmax and the requantize behind it at once: the codes of one after the other, which have oracles of their own."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.kernels.requantize import ROUNDINGS
from hwsim.ops._tablerows import log_codes_in_rows, softmax_in_rows, softmax_requantize, table_of
from hwsim.ops.requantize import Requantize
from hwsim.ops.tablesoftmax import TableSoftmax
from hwsim.spec import QuantSpec, TensorSpec


def scores_of(length, bits, signed, seed):
    grid = QuantSpec(bits, signed, (0.02,))
    generator = np.random.default_rng(seed)
    codes = generator.integers(grid.qmin, grid.qmax + 1, (2, 3, 5, length))
    codes[0, 0, 0] = grid.qmin
    codes[0, 0, 1] = grid.qmax
    return codes.astype(grid.container), TensorSpec((1, 3, 5, length), grid)


@given(
    length=st.sampled_from((16, 17, 49, 197)),
    bits=st.integers(1, 10),
    signed=st.booleans(),
    axis=st.sampled_from((None, 1, 2)),
    rounding=st.sampled_from(ROUNDINGS),
    powers=st.booleans(),
    out=st.sampled_from((QuantSpec(4, False, (1.0,)), QuantSpec(8, True, (1.0,), (-7,)), QuantSpec(12, False, (1.0,)))),
    seed=st.integers(0, 2**32 - 1),
)
def test_fused_is_one_after_the_other(length, bits, signed, axis, rounding, powers, out, seed):
    codes, scores = scores_of(length, bits, signed, seed)
    softmax = TableSoftmax.lower(scores, 16)
    between = softmax.infer((scores,))
    channels = 1 if axis is None else scores.shape[axis]
    multiplier = 1 << 30 if powers else 1_234_567_891
    op = Requantize(
        out, tuple(multiplier - c * (not powers) for c in range(channels)), (38,) * channels, axis, rounding
    )
    after = op.infer((between,))
    wanted = op.run((softmax.run((codes,), (scores,), between),), (between,), after)
    got = softmax_requantize(softmax, op, codes, scores, between)
    if got is None:
        assert rounding == "double_round", "a shift above 31"
        return
    assert got.dtype == wanted.dtype
    assert np.array_equal(got, wanted)
    assert got.max() > out.zero_point[0]


@pytest.mark.parametrize(
    ("length", "change"),
    [(15, {}), (16, {"reciprocal_bits": 62}), (16, {"table": (2**27, *[1] * 255)})],
)
def test_what_32_bits_do_not_hold_takes_the_other_way(length, change):
    codes, scores = scores_of(length, 8, True, 0)
    op = dataclasses.replace(TableSoftmax.lower(scores, 16), **change)
    assert op.rows(scores) is None
    assert softmax_in_rows(op, codes, scores) is None


def test_channels_along_the_rows_are_not_fused():
    codes, scores = scores_of(16, 8, True, 0)
    softmax = TableSoftmax.lower(scores, 16)
    op = Requantize(QuantSpec(4, False, (1.0,)), (1 << 30,) * 16, (40,) * 16, 3)
    assert softmax_requantize(softmax, op, codes, scores, softmax.infer((scores,))) is None


def test_scores_in_another_order_of_axes():
    codes, scores = scores_of(17, 8, False, 3)
    op = TableSoftmax.lower(scores, 16)
    turned = np.ascontiguousarray(codes.transpose(3, 0, 2, 1)).transpose(1, 3, 2, 0)
    assert np.array_equal(softmax_in_rows(op, turned, scores), softmax_in_rows(op, codes, scores))


def test_a_table_of_weights_for_rows_of_some_length():
    weights = np.array([1 << 28, 5, 0])
    assert table_of(weights, 15 * 16).tolist() == [0, 0, 5, 1 << 28]
    assert table_of(weights, 16, 2).tolist() == [0, 0, 20, 1 << 30]
    assert table_of(weights, 15) is None, "less than a vector"
    assert table_of(weights, 16 * 16) is None, "a lane's sum of 2^32"
    assert table_of(weights, 16, 3) is None, "a weight of 2^31"


def test_log_codes_of_scores_in_another_order_of_axes():
    codes, _ = scores_of(17, 4, True, 3)
    table = table_of(np.arange(16, 0, -1) ** 5, 17)
    turned = np.ascontiguousarray(codes.transpose(3, 0, 2, 1)).transpose(1, 3, 2, 0)
    assert np.array_equal(log_codes_in_rows(table, turned, 15), log_codes_in_rows(table, codes, 15))
