"""Exact integer square roots (S11): the largest r with r * r <= v, of int64 values that are not negative.

Newton's iteration from a power of two that is not below the root: from there it falls, and stops at the root itself.
Started elsewhere and stopped after a fixed number of steps it may stop too early: I-ViT's released code (2^16, ten
steps) gives 64 for v = 100.
"""

import numpy as np
import numpy.typing as npt

from hwsim.kernels.kernel import kernel

Int64 = npt.NDArray[np.int64]


def _isqrt(values: Int64, out: Int64) -> None:
    """The root of every element of the flat `values` into `out`; integer divisions alone."""
    one = np.int64(1)
    for i in range(values.shape[0]):
        value = values[i]
        bits = np.int64(0)
        while value >> bits:
            bits += one
        root = one << ((bits + one) >> one)
        quotient = value // root
        while quotient < root and root > one:
            root = (root + quotient) >> one
            quotient = value // root
        out[i] = min(root, value)


isqrt = kernel(_isqrt)
