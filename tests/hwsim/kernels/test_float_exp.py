import math

import mpmath
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hwsim.kernels.float_exp import exp

# NumPy's scalars warn where the kernels are run as plain Python (NUMBA_DISABLE_JIT=1); compiled code never does.
pytestmark = pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")


def distance(x):
    """From exp to the true value, in units of its last place."""
    got = float(exp(np.float64(x)))
    with mpmath.workprec(200):
        return float(abs(mpmath.mpf(got) - mpmath.exp(mpmath.mpf(float(x)))) / math.ulp(got))


@given(x=st.floats(-745.2, 0.0) | st.floats(-40, 0.0) | st.floats(-1e-3, 0.0))
@example(x=-708.4)
@example(x=-0.34657359027997264)
@example(x=-745.1332191019411)
def test_within_an_ulp(x):
    assert distance(x) < 1


def test_landmarks():
    values = [exp(np.float64(x)) for x in (0.0, -0.0, -745.2, -800.0, -1e308, -np.inf)]
    assert values == [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    assert exp(np.float64(-745.0)) == 5e-324
    assert np.isnan(exp(np.float64(np.nan)))
