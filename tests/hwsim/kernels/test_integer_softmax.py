"""The kernels of S12 against the equations in Python's unbounded integers; each compiled, and as plain Python."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hwsim.kernels import integer_softmax as kernels
from hwsim.ops._polynomial import polynomial
from hwsim.ops.shiftmax import unit_of

BOTH = pytest.mark.parametrize("form", ["", "_"], ids=["compiled", "plain"])
DIFFERENCES = st.lists(st.integers(-(2**32), 0) | st.integers(-200, 0), min_size=1, max_size=12)
SCALES = (0.1, 0.05, 0.02, 0.01)


def call(form, name, x, *arguments, dtype=np.int64):
    x = np.array(x, np.int64)
    out = np.full(x.shape, 7, dtype)
    getattr(kernels, form + name)(x, *arguments, out)
    return out.tolist()


def shift_exp(x, unit, n, halvings):
    """S12a with fractions instead of shifts."""
    p = x + math.floor(Fraction(x, 2)) - math.floor(Fraction(x, 16))
    p = max(p, -halvings * unit)
    z = math.floor(Fraction(-p, unit))
    r = p + z * unit
    assert -unit < r <= 0
    return math.floor((math.floor(Fraction(r, 2)) + unit) * Fraction(2**n, 2**z))


def polynomial_exp(x, ln2, b, c, n, halvings):
    """S12b with fractions instead of shifts."""
    p = max(x, -halvings * ln2)
    z = math.floor(Fraction(-p, ln2))
    r = p + z * ln2
    assert -ln2 < r <= 0
    return math.floor((r * r + b * r + c) * Fraction(2**n, 2**z))


@BOTH
@given(x=DIFFERENCES, unit=st.integers(1, 2**31), halvings=st.integers(1, 62), data=st.data())
def test_shift_exp(form, x, unit, halvings, data):
    n = data.draw(st.integers(0, 62 - unit.bit_length()))
    assert call(form, "shift_exp", x, unit, n, halvings) == [shift_exp(v, unit, n, halvings) for v in x]


@BOTH
@given(x=DIFFERENCES, scale=st.floats(1e-6, 0.1), halvings=st.integers(1, 62), data=st.data())
def test_polynomial_exp(form, x, scale, halvings, data):
    constants = polynomial(scale)
    n = data.draw(st.integers(0, 62 - constants[-1].bit_length()))
    wanted = [polynomial_exp(v, *constants, n, halvings) for v in x]
    assert call(form, "polynomial_exp", x, *constants, n, halvings) == wanted


@BOTH
@given(
    rows=st.lists(st.tuples(*[st.integers(0, 2**58)] * 5), min_size=1, max_size=3),
    k=st.integers(31, 62),
    bits=st.integers(1, 16),
    less=st.integers(0, 1),
    up=st.booleans(),
)
@example(rows=[(2**58,) * 5], k=62, bits=16, less=0, up=True)
@example(rows=[(1, 0, 0, 0, 0)], k=62, bits=16, less=0, up=True)
def test_normalise(form, rows, k, bits, less, up):
    """Weights of up to 2^58 and a numerator of 2^62: the product still fits, and a probability of 1 is the last."""
    rows = [row if any(row) else (1, *row[1:]) for row in rows]
    shift, qmax = k - bits, 2**bits - 1
    half = 2 ** (shift - 1) if up else 0
    codes = call(form, "normalise", rows, 2**k - less, shift, half, qmax, dtype=np.uint16)
    for row, got in zip(rows, codes, strict=True):
        factor = (2**k - less) // sum(row)
        assert got == [min(math.floor(Fraction(e * factor + half, 2**shift)), qmax) for e in row]


@BOTH
@given(rows=st.lists(st.tuples(*[st.integers(0, 2**57) | st.integers(0, 9)] * 5), min_size=1, max_size=3))
@example(rows=[(0, 2**57, 1, 0, 2**57)])
def test_log_codes(form, rows):
    """The leading one of sum / e and the bit behind it; that is, rounded up from 1.5 * 2^k on."""
    rows = [row if any(row) else (1, *row[1:]) for row in rows]
    for row, got in zip(rows, call(form, "log_codes", rows, 15, dtype=np.uint8), strict=True):
        for e, code in zip(row, got, strict=True):
            if e == 0:
                assert code == 15
                continue
            quotient = 2 * sum(row) // e  # one bit behind the point
            k = quotient.bit_length() - 2
            assert code == min(k + (quotient >> k & 1), 15)
            assert code == 15 or Fraction(2**code, 2) * Fraction(3, 2) <= Fraction(sum(row), e) or code == 0
            assert code == 15 or Fraction(sum(row), e) < 2**code * Fraction(3, 2)


def worst(kernel, largest, scale, *arguments):
    """The largest relative error against exp, of weights above 0.001, over every difference."""
    x = -np.arange(int(7 / scale) + 1)
    exact = np.exp(x * scale)
    weights = np.array(call("", kernel, x, *arguments, 15, 31)) / (largest * 2.0**15)
    return np.abs(weights / exact - 1)[exact > 1e-3].max()


@pytest.mark.parametrize(
    ("scale", "shift", "poly"),
    [(0.5, 0.36, 5.6), (0.1, 0.149, 0.066), (0.05, 0.111, 0.066), (0.02, 0.091, 0.067), (0.01, 0.091, 0.067)],
)
def test_known_errors_of_the_exponentials(scale, shift, poly):
    """As measured before with another implementation of the two papers; at 0.5 the polynomial is hopeless."""
    unit, constants = unit_of(scale), polynomial(scale)
    assert worst("shift_exp", unit, scale, unit) == pytest.approx(shift, abs=0.005 if scale == 0.5 else 6e-4)
    assert worst("polynomial_exp", constants[-1], scale, *constants) == pytest.approx(
        poly, abs=0.02 if poly > 5 else 6e-4
    )


def test_round_scales_are_lucky():
    """Rounding 1 / S or ln 2 / S up costs most just above a whole quotient: 10.01 becomes 11, and 7.001 becomes 8."""
    assert worst("shift_exp", unit_of(0.0999), 0.0999, unit_of(0.0999)) > 0.8
    constants = polynomial(0.099)
    assert constants[0] == 8
    assert worst("polynomial_exp", constants[-1], 0.099, *constants) > 1


@BOTH
@pytest.mark.parametrize("scale", [0.25, *SCALES, 0.099, 0.0333, 0.003])
def test_a_larger_difference_never_weighs_more(form, scale):
    x = -np.arange(int((2 if form else 30) / scale))
    assert (np.diff(call(form, "shift_exp", x, unit_of(scale), 3, 31)) <= 0).all()
    if scale <= 0.1:
        assert (np.diff(call(form, "polynomial_exp", x, *polynomial(scale), 3, 31)) <= 0).all()
