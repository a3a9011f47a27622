import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.kernels.gemm import gemm

SIZES = st.sampled_from((0, 1, 2, 3, 4, 5, 7, 8, 9))


@given(
    groups=st.integers(0, 3), m=SIZES, k=SIZES, n=SIZES, shared=st.booleans(), wide=st.booleans(), seed=st.integers(0)
)
def test_equals_unbounded_integers(groups, m, k, n, shared, wide, seed):
    generator = np.random.default_rng(seed)
    a = generator.integers(-255, 256, (groups, m, k)).astype(np.int32)
    limit = 2**19 if wide else 2**15
    right = (1 if shared else groups, k, n)
    b = generator.integers(-limit, limit, right).astype(np.int32 if wide else np.int16)
    out = np.full((groups, m, n), 77, np.int32)
    gemm(a, b, out)
    np.testing.assert_array_equal(out.astype(object), np.matmul(a.astype(object), b.astype(object)) if k else 0)


@pytest.mark.parametrize("rows", [1, 3, 4, 5])
def test_the_whole_int32_range(rows):
    """Sums that reach the ends of int32; the ends themselves as operands."""
    a = np.full((1, rows, 4), 2**14, np.int32)
    b = np.repeat(np.array([[-(2**15), 2**15 - 1]], np.int16), 4, axis=0)[np.newaxis]
    out = np.empty((1, rows, 2), np.int32)
    gemm(a, b, out)
    assert out[0].tolist() == [[-(2**31), 2**31 - 2**16]] * rows
    ends = np.array([-(2**31), 2**31 - 1] * rows, np.int32).reshape(1, 2 * rows, 1)
    same = np.empty_like(ends)
    gemm(ends, np.ones((1, 1, 1), np.int16), same)
    assert same.tolist() == ends.tolist()


def test_read_only_and_strided_operands():
    a = np.arange(24, dtype=np.int32).reshape(1, 4, 6)
    b = np.arange(12, dtype=np.int16).reshape(2, 6).T[np.newaxis]
    a.setflags(write=False)
    b.setflags(write=False)
    out = np.empty((1, 4, 2), np.int32)
    gemm(a, b, out)
    np.testing.assert_array_equal(out, a @ b.astype(np.int32))
