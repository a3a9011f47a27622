"""Panels, byte by byte, as the docstring of packing.py says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.kernels.packing import add_bias, interleave, pack_columns, pack_left, pack_rows

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered")  # bytes wrap, of which plain Python warns


def panels(codes, lanes, vectors, eights):
    """{(column, k): place} of a right operand (K, N), in the order of tiles."""
    places, place = {}, 0
    padded = -(-codes.shape[1] // lanes) * lanes
    for first in range(0, padded, lanes * vectors):
        width = min(lanes * vectors, padded - first)
        for step in range(2 * eights):
            for column in range(first, first + width):
                for k in range(4 * step, 4 * step + 4):
                    places[k, column] = place
                    place += 1
    return places


SIZES = st.integers(1, 40)


@given(
    k=SIZES,
    n=SIZES,
    lanes=st.sampled_from((8, 16)),
    vectors=st.integers(1, 4),
    more=st.integers(0, 2),
    seed=st.integers(0, 99),
)
def test_panels_of_rows_and_of_columns(k, n, lanes, vectors, more, seed):
    codes = np.random.default_rng(seed).integers(0, 256, (2, k, n)).astype(np.uint8)
    eights = -(-k // 8) + more
    size = -(-n // lanes) * lanes * 8 * eights
    words = np.empty((2, -(-k // 4), n), np.uint32)
    interleave(codes, words)
    made = [np.full((2, size), 99, np.uint8) for _ in range(2)]
    pack_rows(words, n, lanes, vectors, made[0].view(np.uint32))
    pack_columns(np.ascontiguousarray(words.transpose(0, 2, 1)), n, lanes, vectors, made[1].view(np.uint32))
    np.testing.assert_array_equal(*made)
    wanted = np.zeros((2, size), np.uint8)
    places = panels(codes[0], lanes, vectors, eights)
    assert sorted(places.values()) == list(range(size))
    for (row, column), place in places.items():
        if row < k and column < n:
            wanted[:, place] = codes[:, row, column]
    np.testing.assert_array_equal(made[0], wanted)
    add_bias(n, lanes, vectors, 200, made[0])
    for (row, _), place in places.items():
        wanted[:, place] += np.uint8(200 if row % 8 >= 4 else 0)
    np.testing.assert_array_equal(made[0], wanted)


@given(k=SIZES, n=SIZES, seed=st.integers(0, 99))
def test_words_hold_four_rows(k, n, seed):
    codes = np.random.default_rng(seed).integers(0, 256, (1, k, n)).astype(np.uint8)
    words = np.empty((1, -(-k // 4), n), np.uint32)
    interleave(codes, words)
    for step in range(words.shape[1]):
        for column in range(n):
            four = [int(code) for code in codes[0, 4 * step : 4 * step + 4, column]]
            assert words[0, step, column] == int.from_bytes(bytes(four), "little")


@given(m=SIZES, k=SIZES, low=st.sampled_from((0, -128, -8, 1)), more=st.integers(0, 9), seed=st.integers(0, 99))
def test_rows_less_their_smallest_code(m, k, low, more, seed):
    codes = np.random.default_rng(seed).integers(low, low + 128, (2, m, k))
    out = np.full((2, m + more % 3, k + more), 99, np.uint8)
    pack_left(codes.astype(np.uint8).transpose(0, 2, 1).copy().transpose(0, 2, 1), low, out)
    np.testing.assert_array_equal(out[:, :m, :k], codes - low)
    assert not out[:, m:].any()
    assert not out[:, :, k:].any()
