import math
from fractions import Fraction

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.kernels.simd.float_rows import contiguous, row_max, row_squares, row_sum

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=70).map(np.array)


@numba.njit
def compiled(x, mean):
    row = contiguous(x)
    return row_sum(row), row_squares(row, mean), row_max(row)


@given(x=VALUES, mean=st.floats(-1e3, 1e3))
def test_vectors_give_the_bits_of_plain_python(x, mean):
    apart = np.zeros((3, x.size + 1))
    apart[1, : x.size] = x
    assert compiled(apart[1, : x.size], mean) == (row_sum(x), row_squares(x, mean), row_max(x))


@numba.njit
def short_sum(x):
    return row_sum(x)


@given(x=VALUES)
def test_sums_of_float32_have_sixteen_lanes(x):
    short = x.astype(np.float32)
    assert short_sum(short) == row_sum(short)
    exact, size = float(sum(map(Fraction, short.tolist()))), math.fsum(abs(short))
    assert abs(row_sum(short) - exact) <= (short.size / 16 + 5) * np.finfo(np.float32).eps * size


@given(x=VALUES)
def test_sums_are_sums(x):
    exact, size = float(sum(map(Fraction, x.tolist()))), math.fsum(abs(x))
    assert abs(row_sum(x) - exact) <= x.size * np.finfo(np.float64).eps * size
    assert row_squares(x, 0.0) == pytest.approx(math.fsum(x * x), rel=1e-13, abs=1e-300)
    assert row_max(x) == x.max()


def test_the_order_is_the_one_that_is_written():
    big = 2.0**53
    x = np.zeros(17)
    x[[0, 8, 4, 16]] = big, 1.0, -big, 1.0  # lane 0 loses x[8] to x[0] before lane 4 takes x[0] off again
    assert row_sum(x) == compiled(x, 0.0)[0] == 1.0
    x[[0, 8, 4, 16]] = big, -big, 1.0, 1.0
    assert row_sum(x) == compiled(x, 0.0)[0] == 2.0


def test_a_nan_is_passed_over_by_the_maximum_unless_it_is_first():
    x = np.arange(20.0)
    x[3] = np.nan
    assert row_max(x) == compiled(x, 0.0)[2] == 19.0
    x[0] = np.nan
    assert np.isnan([row_max(x), compiled(x, 0.0)[2]]).all()
