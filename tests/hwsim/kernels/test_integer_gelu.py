"""The kernels of S13 against Python's unbounded integers and fractions; compiled and as plain Python."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.kernels import integer_gelu as kernels

BOTH = pytest.mark.parametrize("form", ["", "_"], ids=["compiled", "plain"])
CODES = st.lists(st.integers(-(2**16), 2**16) | st.integers(-40, 40), min_size=1, max_size=9)


def call(form, name, q, *arguments):
    q = np.array(q, np.int64)
    out = np.full(q.shape, 7, np.int64)
    getattr(kernels, form + name)(q, *arguments, out)
    return out.tolist()


def polynomial(q, fraction, b, c, erf_shift):
    """S13b before rounding."""
    square = max(b - abs(q) * 2**fraction, 0) ** 2
    erf = (c - square) * ((q > 0) - (q < 0))
    return q * math.floor(Fraction(erf + c, 2**erf_shift))


@BOTH
@given(
    q=CODES, fraction=st.integers(0, 9), b=st.integers(1, 2**20), more=st.integers(0, 2**20), shift=st.integers(0, 20)
)
def test_polynomial_gelu(form, q, fraction, b, more, shift):
    c = b * b + more
    wanted = [polynomial(v, fraction, b, c, shift) for v in q]
    assert call(form, "polynomial_gelu", q, fraction, b, c, shift) == wanted


def exponential(v, unit, halvings):
    """S13c: about unit * 2^halvings * exp(v / unit)."""
    p = max(v + math.floor(Fraction(v, 2)) - math.floor(Fraction(v, 16)), -halvings * unit)
    k = math.floor(Fraction(-p, unit))
    r = p + k * unit
    assert -unit < r <= 0
    return (math.floor(Fraction(r, 2)) + unit) * 2 ** (halvings - k)


@BOTH
@given(q=CODES, fraction=st.integers(0, 6), unit=st.integers(1, 2**16), bits=st.integers(2, 16), data=st.data())
def test_shift_gelu(form, q, fraction, unit, bits, data):
    halvings = data.draw(st.integers(1, 62 - unit.bit_length() - bits + 1), label="halvings")
    rows = [q, [-abs(v) - 1 for v in q]]
    wanted = []
    for row in rows:
        top = max(0, *row)
        zero = exponential(-top * 2**fraction, unit, halvings)
        e = [exponential((v - top) * 2**fraction, unit, halvings) for v in row]
        assert max(*e, zero) * 2 ** (bits - 1) < 2**62
        wanted.append([v * math.floor(Fraction(x * 2 ** (bits - 1), x + zero)) for v, x in zip(row, e, strict=True)])
    assert call(form, "shift_gelu", rows, fraction, unit, halvings, bits) == wanted
