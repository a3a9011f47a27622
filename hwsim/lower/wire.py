"""A wire: how a float value of the mixed graph is represented in the integer graph that is being made (S17)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, slots=True)
class Wire:
    """A value of the integer graph; it stands for factor * its reals + bias.

    Each is one number, or one per index of an axis; `bias` may be none. The next requantization takes both up.
    """

    name: str
    factor: tuple[float, ...] = (1.0,)
    factor_axis: int | None = None
    bias: tuple[float, ...] = ()
    bias_axis: int | None = None

    @property
    def plain(self) -> bool:
        """Whether it stands for its reals themselves."""
        return self.factor == (1.0,) and not self.bias

    def axes(self, *more: int | None) -> set[int]:
        """The axes along which it has channels, and `more`: one at most can be requantized."""
        return {axis for axis in (self.factor_axis, self.bias_axis, *more) if axis is not None}

    def scaled(self, values: Sequence[float], axis: int | None) -> "Wire":
        """The wire of `values` (one, or one along `axis`) times this one."""
        factor = np.asarray(self.factor) * np.asarray(values)
        bias = np.asarray(self.bias) * np.asarray(values) if self.bias else np.zeros(0)
        return Wire(
            self.name,
            tuple(factor.tolist()),
            self.factor_axis if axis is None else axis,
            tuple(bias.tolist()),
            axis if self.bias and axis is not None else self.bias_axis,
        )

    def plus(self, bias: Sequence[float], axis: int | None) -> "Wire":
        """This wire, which has no bias yet, with one."""
        return replace(self, bias=tuple(bias), bias_axis=axis)


def channel_axis(shape: tuple[int, ...], rank: int) -> tuple[bool, int | None]:
    """Whether a constant of `shape` is one number, or one per channel of a value of that `rank`; and along which axis."""
    long = [axis + rank - len(shape) for axis, size in enumerate(shape) if size > 1]
    if len(shape) > rank or len(long) > 1:
        return False, None
    return (True, None) if not long else (long[0] > 0, long[0])
