"""Softmax rows in vectors (S12c, S12d), against unbounded integers; the S4 behind them is tested with their operators."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hwsim.kernels.simd.softmax import STEPS, softmax_log_codes, softmax_rows


def wanted(row, weights, numerator, half, right, qmax):
    """S12d of a row in Python's integers; `weights` by the difference to the maximum."""
    entries = [weights[max(row) - score] for score in row]
    factor = numerator // sum(entries)
    return [min((entry * factor + half) >> (32 + right), qmax) for entry in entries]


def check(scores, weights, numerator, right, qmax, container):
    table = np.array([0, *weights[::-1]], np.int64)
    out = np.full(scores.shape, 7, container)
    half = 1 << (31 + right)
    softmax_rows(scores, table, numerator, half, right, qmax, out)
    assert out.tolist() == [wanted(row, weights, numerator, half, right, qmax) for row in scores.tolist()]


@pytest.mark.parametrize("length", [16, 17, 31, 32, 33, 64, 197])
@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint16"])
def test_equals_unbounded_integers(length, kind):
    generator = np.random.default_rng(length)
    bits = min(np.iinfo(kind).bits, 10)
    least = -(1 << bits - 1) if kind.startswith("i") else 0
    weights = np.sort(generator.integers(0, 1 << 20, 1 << bits))[::-1].tolist()
    scores = generator.integers(least, least + (1 << bits), (9, length)).astype(kind)
    scores[1], scores[2, -1], scores[3, 0] = least, least + (1 << bits) - 1, least
    check(scores, weights, 1 << 48, 0, 65535, np.uint16)
    check(scores, weights, 1 << 48, 8, 200, np.uint8)


@pytest.mark.parametrize("rows", range(STEPS + 3))
def test_few_rows(rows):
    scores = np.random.default_rng(rows).integers(-8, 8, (rows, 20)).astype(np.int8)
    check(scores, [1 << c for c in range(15, -1, -1)], 1 << 40, 3, 255, np.uint8)


def test_sums_of_more_than_32_bits():
    """Lanes of 2^32 - 2 or so, sixteen of them."""
    scores = np.zeros((2, 32), np.uint8)
    scores[1, ::3] = 1
    check(scores, [2**31 - 1, 2**30 + 5], (1 << 62) - 1, 4, 2**31 - 1, np.int32)


def test_nothing_beside_the_rows_is_written():
    codes = np.full((5, 49), 9, np.uint8)
    scores = np.random.default_rng(0).integers(0, 16, (3, 49)).astype(np.uint8)
    table = np.array([0, *range(1, 17)], np.int64)
    softmax_rows(scores, table, 1 << 40, 0, 3, 255, codes[1:4])
    assert (codes[[0, 4]] == 9).all()


def log_codes(scores, weights, last):
    """S12c: how many k of 0 .. last - 1 have 3 * 2^k * e <= 2 * sum, in Python's integers."""
    made = []
    for row in scores.tolist():
        entries = [weights[max(row) - score] for score in row]
        made.append([sum(3 * e << k <= 2 * sum(entries) for k in range(last)) for e in entries])
    return made


@pytest.mark.parametrize("last", [1, 15, 31])
@pytest.mark.parametrize("length", [16, 17, 49, 197, 384])
def test_log_codes_of_any_length(length, last):
    generator = np.random.default_rng(length)
    scores = generator.integers(-128, 128, (7, length)).astype(np.int8)
    scores[1], scores[2, -1], scores[3, 1:] = -128, 127, -128
    weights = np.sort(generator.integers(0, 2 ** generator.integers(1, 28, 256)))[::-1].tolist()
    out = np.full(scores.shape, 77, np.uint8)
    softmax_log_codes(scores, np.array([0, *weights[::-1]], np.int64), last, out)
    assert out.tolist() == log_codes(scores, weights, last)


@given(
    weights=st.lists(st.integers(0, 2**31 - 1) | st.integers(0, 29).map(lambda k: 3 << k), min_size=4, max_size=4),
    counts=st.tuples(st.integers(1, 8), *[st.integers(0, 8)] * 3),  # two vectors, so that lanes hold their sums
    last=st.sampled_from((1, 7, 15, 31)),
)
@example(weights=[1, 0, 0, 0], counts=(1, 8, 8, 0), last=31)
@example(weights=[1, 0, 0, 0], counts=(2, 8, 8, 0), last=31)
@example(weights=[2**31 - 1, 1, 1, 0], counts=(8, 8, 8, 0), last=31)
@example(weights=[3 << 27, 3 << 25, 3 << 3, 0], counts=(3, 4, 0, 8), last=31)
def test_log_codes_at_their_boundaries(weights, counts, last):
    """Sums that are 1.5 * 2^k times a weight, and those beside them; up to 2^31 in each lane."""
    weights = sorted(weights, reverse=True)
    weights[0] = max(weights[0], 1)
    row = [-d for d in range(4) for _ in range(counts[d])]
    scores = np.array([row + [-3] * (16 - len(row))] * 2, np.int16)
    out = np.full(scores.shape, 77, np.uint8)
    softmax_log_codes(scores, np.array([0, *weights[::-1]], np.int64), last, out)
    assert out.tolist() == log_codes(scores, weights, last)
