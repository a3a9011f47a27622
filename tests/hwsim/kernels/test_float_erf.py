import mpmath
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hwsim.kernels.float_erf import SMALL, erf

ULP = np.finfo(np.float64).eps
# NumPy's scalars warn where the kernels are run as plain Python (NUMBA_DISABLE_JIT=1); compiled code never does.
pytestmark = pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")


@given(z=st.floats(-7, 7) | st.floats(-1, 1) | st.floats(-1e-3, 1e-3))
@example(z=SMALL)
@example(z=float(np.nextafter(SMALL, 0)))
@example(z=float(np.nextafter(6, 0)))
def test_within_an_ulp_and_a_half_of_one(z):
    with mpmath.workprec(200):
        assert abs(mpmath.mpf(float(erf(np.float64(z)))) - mpmath.erf(mpmath.mpf(z))) < 1.5 * ULP


@given(z=st.floats(-SMALL, SMALL))
def test_small_values_keep_their_digits(z):
    with mpmath.workprec(200):
        wanted = mpmath.erf(mpmath.mpf(z))
        assert abs(mpmath.mpf(float(erf(np.float64(z)))) - wanted) <= 8 * ULP * abs(wanted) + 1e-300


def test_landmarks():
    assert [erf(np.float64(z)) for z in (0.0, 6.0, 40.0, np.inf, -6.0, -np.inf)] == [0.0, 1.0, 1.0, 1.0, -1.0, -1.0]
    assert np.isnan(erf(np.float64(np.nan)))
    assert erf(np.float64(-0.7)) == -erf(np.float64(0.7))
