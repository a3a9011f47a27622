"""The points of a sweep: the product of its axes, numbered like the digits of a number, the last axis fastest.

A point's number says what it is: it is the same in a grid and in a random draw from it. Axes whose values are texts come
first, and those of numbers behind them, so that consecutive points differ in numbers alone and are priced at once; the
energy tables are last, because all of them price one and the same machine at work.
"""

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.accel.accelerator import SINGLE
from hwsim.errors import HwsimError

Numbers = NDArray[np.int64]

MOST = 10_000_000
"""Points that one sweep may have."""


@dataclass(frozen=True, slots=True)
class Axis:
    """What one choice sets: the keys, and for each choice their values, in the order of the keys."""

    keys: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...]

    @classmethod
    def of(cls, key: str, values: Iterable[Any]) -> "Axis":
        """An axis of one key."""
        return cls((key,), tuple((value,) for value in values))

    def __len__(self) -> int:
        return len(self.values)

    @property
    def numeric(self) -> bool:
        """Whether all its values are numbers, of which one machine can have many."""
        numbers = all(type(value) in (int, float) for one in self.values for value in one)
        return numbers and not any(key.startswith(SINGLE) for key in self.keys)

    def column(self, index: int) -> tuple[Any, ...]:
        """The values of its key number `index`."""
        return tuple(one[index] for one in self.values)


@dataclass(frozen=True)
class Space:
    """Points of the axes: `outer` ones, whose choices make a group of points, `numeric` ones and the `energy` tables.

    Raises HwsimError where there are more than can be numbered.
    """

    outer: tuple[Axis, ...]
    numeric: tuple[Axis, ...]
    energy: Axis

    def __post_init__(self) -> None:
        if self.size >= 2**62:
            raise HwsimError(f"axes: at most 2**62 points can be numbered, got {self.size:.1e}; give fewer values")

    @cached_property
    def machines(self) -> int:
        """How many machines of numbers there are in a group."""
        return math.prod(map(len, self.numeric))

    @property
    def group(self) -> int:
        """How many points a group has."""
        return self.machines * len(self.energy)

    @cached_property
    def size(self) -> int:
        """How many points there are."""
        return math.prod(map(len, self.outer)) * self.group

    def chosen(self, group: int) -> dict[str, Any]:
        """What the outer axes set in the group of this number."""
        digits = np.unravel_index(group, tuple(map(len, self.outer)))
        return {
            key: value
            for axis, digit in zip(self.outer, digits, strict=True)
            for key, value in zip(axis.keys, axis.values[int(digit)], strict=True)
        }

    def digits(self, machines: Numbers) -> tuple[Numbers, ...]:
        """For each numeric axis, the number of its choice for each of the `machines` (counted within their group)."""
        return np.unravel_index(machines, tuple(map(len, self.numeric))) if self.numeric else ()

    def columns(self, machines: Numbers) -> dict[str, NDArray[Any]]:
        """What the numeric axes set, key by key, for each of the `machines`."""
        return {
            key: np.array(axis.column(index))[digit]
            for axis, digit in zip(self.numeric, self.digits(machines), strict=True)
            for index, key in enumerate(axis.keys)
        }


def drawn(size: int, points: int, seed: int) -> Numbers:
    """Numbers of `points` different points out of `size`, drawn at random, in ascending order."""
    return np.array(sorted(random.Random(seed).sample(range(size), points)), dtype=np.int64)


def split(numbers: Sequence[int] | Numbers, length: int) -> list[Numbers]:
    """The numbers in parts of this length, the last one shorter."""
    whole = np.asarray(numbers, dtype=np.int64)
    return [whole[start : start + length] for start in range(0, len(whole), length)]


def flat(tree: Mapping[str, Any], is_leaf: Any, under: str = "") -> Iterable[tuple[str, Any]]:
    """The leaves of nested tables with their dotted keys."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and not is_leaf(value):
            yield from flat(value, is_leaf, f"{under}{key}.")
        else:
            yield f"{under}{key}", value
