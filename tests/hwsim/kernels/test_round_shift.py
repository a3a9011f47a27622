"""The last step of S4 on any int64, against fractions; compiled and as plain Python."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hwsim.kernels import round_shift as kernels
from hwsim.kernels.requantize import ROUNDINGS
from hwsim.ops.requantize import Requantize
from hwsim.spec import QuantSpec, TensorSpec

BOTH = pytest.mark.parametrize("form", ["", "_"], ids=["compiled", "plain"])
INT64 = st.integers(-(2**63), 2**63 - 1) | st.integers(-100, 100)
LIMIT = 2**62


def call(values, shift, rounding, form="", zero_point=0, qmin=-LIMIT, qmax=LIMIT, dtype=np.int64):
    out = np.zeros(len(values), dtype)
    mode = ROUNDINGS.index(rounding)
    getattr(kernels, form + "round_shift")(np.array(values, np.int64), shift, mode, zero_point, qmin, qmax, out)
    return out.tolist()


def expected(value, shift, rounding):
    exact = Fraction(value, 2**shift)
    if shift == 0 or rounding == "floor":
        return floor(exact)
    if rounding == "half_even":
        return round(exact)
    nudge = (2**30 if value >= 0 else -(2**30)) if rounding == "double_round" and shift > 31 else 0
    return floor(exact + Fraction(1, 2) + Fraction(nudge, 2**shift))


@BOTH
@pytest.mark.parametrize("rounding", ROUNDINGS)
@given(values=st.lists(INT64, min_size=1, max_size=5), shift=st.integers(0, 62))
@example(values=[-(2**63), 2**63 - 1, -(2**63) + 1], shift=62)
@example(values=[-(2**63), 2**63 - 1, 2**61, -(2**61), 2**61 - 1], shift=62)
@example(values=[-5, -3, -1, 1, 3, 5], shift=1)
def test_rounds_as_fractions_do(form, rounding, values, shift):
    wanted = [min(max(expected(v, shift, rounding), -LIMIT), LIMIT) for v in values]
    assert call(values, shift, rounding, form) == wanted


@pytest.mark.parametrize("rounding", ROUNDINGS)
@given(values=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1), shift=st.integers(1, 62))
def test_is_requantize_with_a_multiplier_of_one(rounding, values, shift):
    op = Requantize(QuantSpec(7, True, (1.0,), (3,)), (1,), (shift,), None, rounding)
    acc = TensorSpec((1, len(values)), QuantSpec(32, True, (1.0,)))
    codes = op.run((np.array([values], np.int32),), (acc,), op.infer((acc,)))
    assert call(values, shift, rounding, "", 3, -64, 63, np.int8) == codes[0].tolist()


def test_zero_point_then_clamp():
    assert call([-100, -9, 0, 9, 100], 1, "half_up", zero_point=3, qmin=0, qmax=15, dtype=np.uint8) == [0, 0, 3, 8, 15]
