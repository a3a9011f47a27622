"""Sums, means and reciprocal roots of rows in vectors, against unbounded integers."""

from math import isqrt

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.kernels.simd.moments import GROUP, ROWS, moments, row_sums, short_moments


@numba.njit
def sums_of(x, totals, squares):
    places = np.empty(ROWS, np.int64)
    for k in range(ROWS):
        places[k] = x[k].ctypes.data
    numbers = (places.ctypes.data, totals.ctypes.data, squares.ctypes.data, x.shape[1] // 16)
    row_sums((x, totals, squares, places), numbers)
    return places[0]


@numba.njit
def aligned_sums_of(x, shifts, zeros, totals, squares):
    places = np.empty(ROWS, np.int64)
    for k in range(ROWS):
        places[k] = x[k].ctypes.data
    numbers = (places.ctypes.data, totals.ctypes.data, squares.ctypes.data, x.shape[1] // 16)
    row_sums((x, totals, squares, places), (*numbers, shifts.ctypes.data, zeros.ctypes.data))
    return places[0]


@numba.njit
def moments_of(totals, squares, columns, fraction, epsilon, bits, n_bits, short, means, factors, downs):
    starts = (totals.ctypes.data, squares.ctypes.data, means.ctypes.data, factors.ctypes.data, downs.ctypes.data)
    numbers = (*starts, columns, fraction, epsilon, bits, n_bits)
    if short:
        short_moments((totals, squares, means, factors, downs), numbers)
    else:
        moments((totals, squares, means, factors, downs), numbers)


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint16", "int32"])
@pytest.mark.parametrize("columns", [16, 48, 384])
@pytest.mark.parametrize("extreme", [False, True])
def test_sums(kind, columns, extreme):
    info = np.iinfo(kind)
    low, high = (max(info.min, -(2**22)), min(info.max, 2**22))
    x = np.random.default_rng(columns).integers(low, high, (ROWS, columns), endpoint=True).astype(kind)
    if extreme:
        x[0], x[1] = low, high
    totals, squares = np.empty(ROWS, np.int32), np.empty(ROWS, np.int64)
    sums_of(x, totals, squares)
    assert totals.tolist() == [sum(row) for row in x.tolist()]
    assert squares.tolist() == [sum(v * v for v in row) for row in x.tolist()]


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint16", "int32"])
@pytest.mark.parametrize("columns", [16, 48, 384])
def test_sums_of_channels_apart(kind, columns):
    generator, info = np.random.default_rng(columns), np.iinfo(kind)
    low, high = max(info.min, -(2**16)), min(info.max, 2**16)
    x = generator.integers(low, high, (ROWS, columns), endpoint=True).astype(kind)
    x[0], x[1] = low, high
    shifts, zeros = generator.integers(0, 4, columns), generator.integers(-(2**19), 2**19, columns)
    totals, squares = np.empty(ROWS, np.int32), np.empty(ROWS, np.int64)
    aligned_sums_of(x, shifts.astype(np.int32), zeros.astype(np.int32), totals, squares)
    q = [[(v << a) - z for v, a, z in zip(row, shifts.tolist(), zeros.tolist(), strict=True)] for row in x.tolist()]
    assert totals.tolist() == [sum(row) for row in q]
    assert squares.tolist() == [sum(v * v for v in row) for row in q]


def check(totals, squares, columns, fraction, epsilon, bits):
    """Of eight rows by their sums."""
    means, factors, downs = np.empty(GROUP, np.int32), np.empty(GROUP, np.int32), np.empty(GROUP, np.int64)
    arrays = np.array(totals, np.int32), np.array(squares, np.int64)
    moments_of(*arrays, columns, fraction, epsilon, bits, 30, False, means, factors, downs)
    assert downs.tolist() == [bits - 30] * GROUP
    for total, square, mean, factor in zip(totals, squares, means.tolist(), factors.tolist(), strict=True):
        wanted = ((total << fraction + 1) + columns) // (2 * columns)
        assert mean == wanted
        centred = (square << 2 * fraction) - 2 * wanted * (total << fraction) + columns * wanted * wanted
        assert factor == (1 << bits) // max(isqrt(centred + epsilon), 1)


def check_short(totals, squares, columns, fraction, epsilon, bits):
    """The same for S11b."""
    means, factors, downs = np.empty(GROUP, np.int32), np.empty(GROUP, np.int32), np.empty(GROUP, np.int64)
    arrays = np.array(totals, np.int32), np.array(squares, np.int64)
    moments_of(*arrays, columns, fraction, epsilon, bits, 22, True, means, factors, downs)
    assert means.tolist() == [total << fraction for total in totals]
    for total, square, factor, down in zip(totals, squares, factors.tolist(), downs.tolist(), strict=True):
        root = max(isqrt((columns * square - total * total << 2 * fraction) + epsilon), 1)
        power = root.bit_length() - 1 + bits
        exact = min((1 << power) // root, (1 << bits) - 1)
        assert (factor, down) == ((exact, power - 22) if power >= 22 else (exact << 22 - power, 0))


@given(
    columns=st.sampled_from((16, 48, 64, 768, 1 << 14)),
    fraction=st.integers(0, 8),
    wholes=st.lists(st.integers(-(2**14), 2**14), min_size=GROUP, max_size=GROUP),
    off=st.integers(-2, 2),
    spread=st.integers(0, 2**14),
)
def test_means_near_halves(columns, fraction, wholes, off, spread):
    totals = [min(max(whole * columns + columns // 2 + off, -(2**31)), 2**31 - 1) for whole in wholes]
    squares = [-(-total * total // columns) + columns * spread for total in totals]
    check(totals, squares, columns, fraction, 1 << 20, 40)


def roots_are_exact(value):
    """The widest factors below 2^31 tell neighbouring roots apart."""
    bits = min(62, isqrt(value).bit_length() + 29)
    check([0] * GROUP, [0] * GROUP, 16, 0, value, bits)


@given(value=st.integers(1, 2**62 - 1))
def test_roots(value):
    roots_are_exact(value)


@given(root=st.integers(1, 2**31 - 1), off=st.integers(-2, 2))
def test_roots_near_perfect_squares(root, off):
    roots_are_exact(min(max(root * root + off, 1), 2**62 - 1))


@pytest.mark.parametrize("root", [2**31 - 1, 2**31 - 2, 94906267, 94906266, 2**27 + 1, 3037000499 // 2, 2])
@pytest.mark.parametrize("off", [-1, 0, 1])
def test_roots_beyond_the_integers_of_a_float(root, off):
    roots_are_exact(root * root + off)


@given(bits=st.integers(40, 62), high=st.integers(2**29, 2**31 - 1), off=st.integers(-1, 1))
def test_factors_near_whole_numbers(bits, high, off):
    """The root that makes a factor of almost `high`, and its neighbours."""
    root = max((1 << bits) // high + off, (1 << bits) // (2**31 - 1) + 1)
    if root < 2**31:
        check([0] * GROUP, [0] * GROUP, 16, 0, root * root, bits)


@pytest.mark.parametrize(
    ("bits", "root"), [(61, 1073807362), (61, 1073872904), (60, 536903681), (60, 567167999), (59, 268468226)]
)
def test_factors_that_floats_round_up(bits, root):
    assert int(np.float64(1 << bits) / root) * root > 1 << bits
    check([0] * GROUP, [0] * GROUP, 16, 0, root * root, bits)


def test_no_root_divides_by_one():
    check([0] * GROUP, [0] * GROUP, 16, 0, 0, 30)
    check([0] * GROUP, [0, 1, 3, 4, 8, 9, 99, 2**40], 16, 0, 0, 30)


@pytest.mark.parametrize("root", [2**31 - 1, 2**31 - 2, 2**30 + 1])
def test_the_largest_factors(root):
    bits = root.bit_length() + 30
    while (1 << bits) // root >= 1 << 31:
        bits -= 1
    check([0] * GROUP, [0] * GROUP, 16, 0, root * root, bits)


@given(
    columns=st.sampled_from((16, 48, 192, 1 << 14)),
    fraction=st.integers(0, 8),
    spreads=st.lists(st.integers(0, 2**20), min_size=GROUP, max_size=GROUP),
    epsilon=st.integers(0, 2**40),
    bits=st.integers(1, 31),
)
def test_short_factors(columns, fraction, spreads, epsilon, bits):
    """Rows of constants among them, and totals at the ends of the range."""
    most = (1 << 30 - fraction) // columns
    codes = [min(spread, most) for spread in spreads]
    totals = [(columns - 2 * i) * code for i, code in enumerate(codes)]  # i of them negative
    check_short(totals, [columns * code * code for code in codes], columns, fraction, epsilon, bits)


@given(root=st.integers(1, 2**30 - 1), off=st.integers(-2, 2), bits=st.integers(1, 31))
def test_short_factors_of_roots(root, off, bits):
    value = min(max(root * root + off, 0), 2**60 - 1)
    check_short([0] * GROUP, [0] * GROUP, 16, 0, value, bits)


@pytest.mark.parametrize("bits", [1, 8, 25, 31])
@pytest.mark.parametrize("off", [-1, 0, 1])
def test_short_factors_where_the_leading_one_moves(bits, off):
    for place in range(30):
        root = max((1 << place) + off, 1)
        check_short([0] * GROUP, [0, 0, 1, 1, 2, 3, 5, 8], 16, 0, root * root, bits)
