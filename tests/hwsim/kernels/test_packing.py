"""Panels, byte by byte, as the docstring of packing.py says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.kernels.packing import pack_columns, pack_left, pack_rows

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


def operand(k, n, seed, steps_lie_side_by_side):
    """(2, 3, k, n) inside a larger array."""
    shape = (2, 3, n, k) if steps_lie_side_by_side else (2, 3, k, n)
    whole = np.random.default_rng(seed).integers(0, 256, (shape[0], shape[2] + 1, shape[1], shape[3])).astype(np.uint8)
    part = whole[:, 1:].transpose(0, 2, 1, 3)
    return part.transpose(0, 1, 3, 2) if steps_lie_side_by_side else part


@pytest.mark.parametrize("by_column", [False, True])
@given(
    k=SIZES,
    n=SIZES,
    lanes=st.sampled_from((8, 16)),
    vectors=st.integers(1, 4),
    more=st.integers(0, 2),
    kinds=st.sampled_from((1, 2, 6)),
    own=st.booleans(),
    bias=st.sampled_from((0, 1, 200)),
    seed=st.integers(0, 99),
)
def test_panels(by_column, k, n, lanes, vectors, more, kinds, own, bias, seed):
    k += -k % 4 if by_column else 0
    codes = operand(k, n, seed, by_column)
    plus = np.random.default_rng(seed + 1).integers(0, 256, (kinds, n if own else 1))
    eights = -(-k // 8) + more
    made = np.full((6, -(-n // lanes) * lanes * 8 * eights), 99, np.uint8)
    words = plus.astype(np.uint32) * np.uint32(0x01010101)
    shape = words, np.uint32(bias * 0x01010101), n, lanes, vectors, made.view(np.uint32)
    if by_column:
        pack_columns(codes.transpose(0, 1, 3, 2).view(np.uint32), *shape)
    else:
        pack_rows(codes, *shape)
    places = panels(codes[0, 0], lanes, vectors, eights)
    assert sorted(places.values()) == list(range(made.shape[1]))
    wanted = np.zeros(made.shape, np.int64)
    for (row, column), place in places.items():
        if row < k and column < n:
            added = plus[np.arange(6) % kinds, column if own else 0]
            wanted[:, place] = codes[:, :, row, column].reshape(6) + added
        wanted[:, place] += bias if row % 8 >= 4 else 0
    np.testing.assert_array_equal(made, wanted & 255)


@given(
    m=SIZES,
    k=st.one_of(SIZES, st.integers(60, 200)),
    low=st.sampled_from((0, -128, -8, 1)),
    more=st.integers(0, 9),
    seed=st.integers(0, 99),
)
def test_rows_less_their_smallest_code(m, k, low, more, seed):
    codes = np.random.default_rng(seed).integers(low, low + 128, (2, 2, m, k))
    out = np.full((4, m + more % 3, k + more), 99, np.uint8)
    pack_left(codes.astype(np.uint8).transpose(2, 0, 1, 3).copy().transpose(1, 2, 0, 3), low, out)
    np.testing.assert_array_equal(out[:, :m, :k], (codes - low).reshape(4, m, k))
    assert not out[:, m:].any()
    assert not out[:, :, k:].any()
