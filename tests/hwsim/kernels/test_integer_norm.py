"""The kernels of S11 against Python's unbounded integers, also at the ends of the range; compiled and as plain Python."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.kernels import integer_norm as kernels

BOTH = pytest.mark.parametrize("form", ["", "_"], ids=["compiled", "plain"])


def rows_of(data, bits):
    """Rows of signed integers of `bits`, at random or at the ends of the range alone."""
    shape = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 33)), label="shape")
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32), label="seed"))
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    if data.draw(st.booleans(), label="extremes"):
        return generator.choice([low, high], shape).astype(np.int64)
    return generator.integers(low, high + 1, shape)


@BOTH
@given(data=st.data(), bits=st.sampled_from((2, 8, 16, 24)), fraction=st.integers(0, 4))
def test_centre(form, data, bits, fraction):
    x = rows_of(data, bits)
    y, squares = np.zeros_like(x), np.zeros(len(x), np.int64)
    getattr(kernels, form + "centre")(x, fraction, y, squares)
    for row, got, square in zip(x.tolist(), y.tolist(), squares.tolist(), strict=True):
        mean = math.floor(Fraction(sum(row) * 2**fraction, len(row)) + Fraction(1, 2))
        assert got == [v * 2**fraction - mean for v in row]
        assert square == sum(v * v for v in got)


@BOTH
@given(data=st.data(), bits=st.sampled_from((2, 8, 16)))
def test_spread(form, data, bits):
    x = rows_of(data, bits)
    columns = x.shape[1]
    alpha = data.draw(st.lists(st.integers(-4, 4), min_size=columns, max_size=columns))
    y, squares = np.zeros_like(x), np.zeros(len(x), np.int64)
    getattr(kernels, form + "spread")(x, np.array(alpha, np.int64), y, squares)
    for row, got, square in zip(x.tolist(), y.tolist(), squares.tolist(), strict=True):
        q = [math.floor(v * Fraction(2) ** a) for v, a in zip(row, alpha, strict=True)]
        assert got == [columns * v - sum(q) for v in q]
        assert square == columns * sum(v * v for v in q) - sum(q) ** 2
        assert square * columns == sum(v * v for v in got), "it is C^2 times the variance"


@BOTH
@given(values=st.lists(st.integers(1, 2**30 - 1) | st.integers(1, 64), min_size=1), bits=st.integers(1, 31))
def test_mantissa(form, values, bits):
    factor, shift = np.zeros(len(values), np.int64), np.zeros(len(values), np.int64)
    getattr(kernels, form + "mantissa")(np.array(values, np.int64), bits, factor, shift)
    for value, m, n in zip(values, factor.tolist(), shift.tolist(), strict=True):
        exact = Fraction(1, value)
        assert m.bit_length() == bits, "the leading one is on top"
        assert Fraction(m, 2**n) <= exact < Fraction(m + 1, 2**n) + Fraction(value & (value - 1) == 0, 2**n)


@BOTH
@given(data=st.data())
def test_affine(form, data):
    rows, columns = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 4)))
    y = np.array(
        data.draw(st.lists(st.integers(-255, 255), min_size=rows * columns, max_size=rows * columns)), np.int64
    )
    factor = np.array(data.draw(st.lists(st.integers(0, 2**20), min_size=rows, max_size=rows)), np.int64)
    shift = np.array(data.draw(st.lists(st.integers(-2, 40), min_size=rows, max_size=rows)), np.int64)
    gain = np.array(data.draw(st.lists(st.integers(-(2**30), 2**30), min_size=columns, max_size=columns)), np.int64)
    offset = np.array(data.draw(st.lists(st.integers(-(2**60), 2**60), min_size=columns, max_size=columns)), np.int64)
    out = np.zeros((rows, columns), np.int64)
    getattr(kernels, form + "affine")(y.reshape(out.shape), factor, shift, gain, offset, out)
    for (r, c), got in np.ndenumerate(out):
        n = math.floor(int(y.reshape(out.shape)[r, c]) * int(factor[r]) * Fraction(2) ** -int(shift[r]))
        assert int(got) == n * int(gain[c]) + int(offset[c])
