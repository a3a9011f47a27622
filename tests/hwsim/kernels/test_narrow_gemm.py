import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.kernels.narrow_gemm import narrow_gemm


def narrow(value, bits, saturate):
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    return min(max(value, low), high) if saturate else (value - low) % (1 << bits) + low


def oracle(a, b, bits, saturate, tile):
    """Python integers, one output after the other: results, narrowings that changed a value, inexact outputs."""
    out = np.zeros((a.shape[0], a.shape[1], b.shape[2]), dtype=object)
    narrowings = overflowed = 0
    for g, m, n in np.ndindex(*out.shape):
        right = b[g if len(b) > 1 else 0]
        products = [int(x) * int(y) for x, y in zip(a[g, m], right[:, n], strict=True)]
        total = 0
        for start in range(0, len(products), tile):
            part = sum(products[start : start + tile])
            wide = total + narrow(part, bits, saturate)
            narrowings += (narrow(part, bits, saturate) != part) + (narrow(wide, bits, saturate) != wide)
            total = narrow(wide, bits, saturate)
        overflowed += total != sum(products)
        out[g, m, n] = total
    return out, narrowings, overflowed


@given(
    groups=st.integers(0, 2),
    m=st.integers(0, 3),
    k=st.integers(0, 7),
    n=st.integers(0, 5),
    shared=st.booleans(),
    wide=st.booleans(),
    bits=st.integers(2, 31),
    saturate=st.booleans(),
    tile=st.integers(1, 8),
    seed=st.integers(0),
)
def test_equals_unbounded_integers(groups, m, k, n, shared, wide, bits, saturate, tile, seed):
    generator = np.random.default_rng(seed)
    limit = 2**19 if wide else 2**15
    near = max(2, min(255, 2 ** (bits // 2)))  # such that some sums fit and others do not
    a = generator.integers(-near, near + 1, (groups, m, k)).astype(np.int32)
    b = generator.integers(-min(limit, near), min(limit, near), (1 if shared else groups, k, n))
    b = b.astype(np.int32 if wide else np.int16)
    out = np.full((groups, m, n), 77, np.int32)
    counts = narrow_gemm(a, b, bits, saturate, tile, out)
    wanted, *wanted_counts = oracle(a, b, bits, saturate, tile)
    assert list(counts) == wanted_counts
    np.testing.assert_array_equal(out.astype(object), wanted)


@pytest.mark.parametrize("tile", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [2, 17, 30, 31])
def test_the_ends_of_int32(bits, tile):
    """Sums that are -2**31 and 2**31-1 on the way and at the end; each of them is proven to fit."""
    a = np.array([[[2**15] * 4], [[2**15] * 3 + [2**29 - 1]]], np.int32)
    b = np.array([[[-(2**14)]] * 4, [[2**14]] * 3 + [[1]]], np.int16)
    for saturate in (False, True):
        out = np.empty((2, 1, 1), np.int32)
        counts = narrow_gemm(a, b, bits, saturate, tile, out)
        wanted, *wanted_counts = oracle(a, b, bits, saturate, tile)
        assert list(counts) == wanted_counts
        assert out.tolist() == wanted.tolist()


def test_example_of_the_semantics():
    """S15: products 5, 6, -7 in four bits."""
    a, b = np.array([[[5, 6, -7]]], np.int32), np.ones((1, 3, 1), np.int16)
    out = np.empty((1, 1, 1), np.int32)
    seen = {}
    for saturate in (False, True):
        for tile in (1, 3):
            counts = narrow_gemm(a, b, 4, saturate, tile, out)
            seen["saturate" if saturate else "wrap", tile] = (out.item(), *counts)
    assert seen == {
        ("wrap", 1): (4, 2, 0),
        ("wrap", 3): (4, 0, 0),
        ("saturate", 1): (0, 1, 1),
        ("saturate", 3): (4, 0, 0),
    }
