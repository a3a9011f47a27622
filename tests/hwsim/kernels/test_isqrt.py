"""The exact root against math.isqrt, and what a Newton iteration that stops too early gives; compiled and as plain Python."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hwsim.kernels import isqrt as kernels

BOTH = pytest.mark.parametrize("form", ["", "_"], ids=["compiled", "plain"])


def roots(values, form=""):
    out = np.full(len(values), -1, np.int64)
    getattr(kernels, form + "isqrt")(np.array(values, np.int64), out)
    return out.tolist()


def stopped(value):
    """Ten Newton steps from 2^16: I-ViT's released LayerNorm (METHODS: paper vs code)."""
    root = 2**16
    for _ in range(10):
        root = (root + value // root) // 2
    return root


def test_every_value_of_16_bits():
    assert roots(range(2**16 + 1)) == [math.isqrt(v) for v in range(2**16 + 1)]


@BOTH
@given(values=st.lists(st.sampled_from((32, 48, 62, 63)).flatmap(lambda b: st.integers(0, 2**b - 1)), min_size=1))
@example(values=[0, 1, 2, 3, 4, 2**62 - 1, 2**62, 2**63 - 1])
def test_wide_values(form, values):
    assert roots(values, form) == [math.isqrt(v) for v in values]


@BOTH
@given(root=st.integers(1, 3037000499) | st.integers(1, 200))
@example(root=3037000499)
def test_perfect_squares_and_their_neighbours(form, root):
    assert roots([root * root - 1, root * root, root * root + 1], form) == [root - 1, root, math.isqrt(root * root + 1)]


@pytest.mark.parametrize(("value", "early", "right"), [(100, 64, 10), (1000, 68, 31), (100_000, 316, 316)])
def test_stopping_too_early_is_not_a_root(value, early, right):
    assert stopped(value) == early
    assert roots([value]) == [right]


def test_where_stopping_too_early_is_wrong():
    """By 8 or more up to 12099, by 2 or more up to 34595, and again above 2^50: narrow and very wide residual streams."""
    errors = [stopped(v) - math.isqrt(v) for v in range(2**17)]
    assert [max(v for v, e in enumerate(errors) if e >= least) for least in (8, 2)] == [12099, 34595]
    assert stopped(2**52 - 1) > 1.3 * math.isqrt(2**52 - 1)
    assert roots([2**52 - 1]) == [2**26 - 1]
