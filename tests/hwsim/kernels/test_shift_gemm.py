import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.kernels.shift_gemm import shift_gemm


def run(codes, grid, v):
    out = np.full((codes.shape[0], codes.shape[1], v.shape[2]), 77, np.int32)
    significand, shift = (np.array(column, np.int32) for column in grid[:2])
    shift_gemm(codes, significand, shift, grid[2], v, out)
    return out


def dense(codes, grid, v):
    """Values of the table times v, in Python's integers."""
    significand, shift, zero = grid
    table = np.array([s * 2**p - zero for s, p in zip(significand, shift, strict=True)], dtype=object)
    return np.matmul(table[codes], v.astype(object))


GRIDS = {  # significand, shift, zero
    "log2": ((1,) * 15 + (0,), (*range(14, -1, -1), 0), 0),
    "log2 without zero": ((1,) * 16, tuple(range(15, -1, -1)), 0),
    "logsqrt2": ((1, 181) * 8, tuple(p for m in range(8) for p in (15 - m, 7 - m)), 0),
    "sulq": ((1,) * 16, tuple(range(15, -1, -1)), 9),
    "twin": (tuple(range(8)) * 2, (0,) * 8 + (3,) * 8, 0),
    "signed": (tuple(range(8)) + tuple(range(-8, 0)), (3,) * 8 + (0,) * 8, -4),
}


@pytest.mark.parametrize("name", GRIDS)
def test_all_pairs_of_codes_with_all_extremes(name):
    """METHODS, acceptance test 21: the shift product is the table's values times v, for all patterns of two codes."""
    grid = GRIDS[name]
    codes = np.array(list(itertools.product(range(16), repeat=2)), np.uint8)[np.newaxis]
    v = np.array(list(itertools.product((-128, -1, 0, 1, 127), repeat=2)), np.int16).T[np.newaxis]
    np.testing.assert_array_equal(run(codes, grid, v).astype(object), dense(codes, grid, v))


@given(
    seed=st.integers(0),
    bits=st.integers(1, 8),
    zero=st.sampled_from((0, 1, -7, 1000)),
    groups=st.integers(1, 3),
    sizes=st.tuples(*[st.sampled_from((1, 2, 3, 5, 8))] * 3),
    shared=st.booleans(),
    wide=st.booleans(),
)
def test_equals_unbounded_integers(seed, bits, zero, groups, sizes, shared, wide):
    generator = np.random.default_rng(seed)
    m, k, n = sizes
    table = generator.integers(-9, 10, 1 << bits).tolist(), generator.integers(0, 8, 1 << bits).tolist(), zero
    codes = generator.integers(0, 1 << bits, (groups, m, k)).astype(np.uint8)
    limit = 2**16 if wide else 2**15
    v = generator.integers(-limit, limit, (1 if shared else groups, k, n)).astype(np.int32 if wide else np.int16)
    np.testing.assert_array_equal(run(codes, table, v).astype(object), dense(codes, table, v))


def test_the_ends_of_int32():
    """Four 8-bit numbers shifted by 22 are the whole range; a zero of 2**22 takes it to nothing."""
    v = np.array([[[-128, 127]] * 4], np.int16)
    codes = np.zeros((1, 3, 4), np.uint8)
    assert run(codes, ((1, 0), (22, 0), 0), v)[0].tolist() == [[-(2**31), 2**31 - 2**24]] * 3
    assert run(codes, ((1, 0), (22, 0), 1 << 22), v)[0].tolist() == [[0, 0]] * 3


def test_no_terms_and_read_only_operands():
    out = run(np.zeros((2, 3, 0), np.uint8), GRIDS["sulq"], np.zeros((1, 0, 4), np.int16))
    assert out.tolist() == np.zeros((2, 3, 4)).tolist()
    codes, v = np.zeros((1, 1, 1), np.uint8), np.ones((1, 1, 1), np.int16)
    codes.setflags(write=False)
    v.setflags(write=False)
    assert run(codes, GRIDS["log2"], v).item() == 1 << 14


def test_shifting_right_before_the_sum_is_biased():
    """METHODS 1.4: each v >> c loses (1 - 2**-c) / 2 of its last place in the mean, 0.47 over codes 1..15; ours loses none.

    Every 8-bit v meets every code once: one row of 15 * 256 terms.
    """
    exponents = np.repeat(np.arange(1, 16), 256).astype(np.uint8)
    v = np.tile(np.arange(-128, 128), 15).astype(np.int16)
    exact = sum(int(value) * 2 ** (15 - int(c)) for value, c in zip(v, exponents, strict=True))
    ours = run(exponents.reshape(1, 1, -1), GRIDS["log2 without zero"], v.reshape(1, -1, 1)).item()
    assert ours == exact
    naive = int(np.right_shift(v, exponents).sum())
    bias = (naive - exact / 2**15) / v.size
    assert bias == pytest.approx(-sum(1 - 2.0**-c for c in range(1, 16)) / 15 / 2)
    assert bias == pytest.approx(-0.4667, abs=1e-4)
