"""The front of a set of points: those that no other beats.

A point beats another where it is not worse in any objective and better in one; less is better. Of equal points, none beats
the other: all of them stand on the front, or none. Values are compared by rank, so that nothing is rounded.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Mask = NDArray[np.bool_]
_Ranks = NDArray[np.int64]


def front(values: ArrayLike) -> Mask:
    """Which of the points `values` (points, objectives) stand on the front, as a mask (points,).

    n log n for one and two objectives that vary, otherwise n times the points on the front. Raises ValueError for NaN.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"values: must be a table of points by objectives, got shape {table.shape}")
    if np.isnan(table).any():
        raise ValueError("values: must be numbers, got NaN; leave such points out")
    if not len(table):
        return np.zeros(0, dtype=bool)
    ranks = [np.unique(column, return_inverse=True)[1].reshape(-1) for column in table.T]
    varied = [rank for rank in ranks if rank.any()]
    if not varied:
        return np.ones(len(table), dtype=bool)
    different, where = np.unique(np.stack(varied, axis=1), axis=0, return_inverse=True)
    best = _of_two(different) if len(varied) <= 2 else _of_many(different)
    return best[where.reshape(-1)]


def _of_two(points: _Ranks) -> Mask:
    """Of different points in lexicographic order: those with a last objective below all before them."""
    last = points[:, -1]
    lowest = np.minimum.accumulate(last)
    return np.concatenate(([True], last[1:] < lowest[:-1]))


def _of_many(points: _Ranks) -> Mask:
    """Of different points: taken by the sum of their ranks, the first is beaten by none, and what it beats is dropped."""
    order = np.argsort(points.sum(axis=1), kind="stable")
    best = np.zeros(len(points), dtype=bool)
    while len(order):
        first = order[0]
        best[first] = True
        order = order[1:]
        order = order[(points[order] < points[first]).any(axis=1)]
    return best
