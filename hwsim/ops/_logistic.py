"""The logistic function, 1 / (1 + exp(-x)), for the operators that are made of it: sigmoid and silu."""

import numpy as np

from hwsim.op import Array


def logistic(x: Array) -> Array:
    """In float64, never through an exp that overflows; equal for equal x, wherever it lies in memory."""
    small = np.exp(-np.abs(np.ascontiguousarray(x, dtype=np.float64)))
    return np.asarray(np.where(x >= 0, 1.0, small) / (1.0 + small))
