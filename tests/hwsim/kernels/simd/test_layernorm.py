from math import isqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.kernels.simd.layernorm import _exact_root, exact_root


@given(value=st.integers(0, 2**62 - 1))
def test_roots(value):
    assert exact_root(value) == isqrt(value)


@given(root=st.integers(1, 2**31 - 1), off=st.integers(-2, 2))
def test_roots_near_perfect_squares(root, off):
    value = min(max(root * root + off, 0), 2**62 - 1)
    assert exact_root(value) == _exact_root(value) == isqrt(value)


@pytest.mark.parametrize("root", [2**31 - 1, 2**31 - 2, 94906267, 94906266, 2**27 + 1, 3037000499 // 2, 1])
@pytest.mark.parametrize("off", [-1, 0, 1])
def test_roots_beyond_the_integers_of_a_float(root, off):
    assert exact_root(root * root + off) == isqrt(root * root + off)
