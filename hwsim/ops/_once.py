"""What is made from an operator and a spec is made once: arrays of constants, proofs about them.

Operators and specs are values of thousands of integers, dear to hash; a graph holds one object of each, so that
identity finds them again.
"""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")

KEPT = 1024
"""Results of each function that are kept: more than a graph has nodes of one kind."""


class _Same:
    """Equal to what holds the very same object."""

    __slots__ = ("it",)

    def __init__(self, it: object) -> None:
        self.it = it

    def __hash__(self) -> int:
        return id(self.it)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.it is other.it


def once(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, which remembers its latest results by the identity of its arguments (small integers by value)."""

    @lru_cache(maxsize=KEPT)
    def remembered(*arguments: Any) -> R:
        return cast(Callable[..., R], function)(*(a.it if isinstance(a, _Same) else a for a in arguments))

    @wraps(function)
    def call(*arguments: P.args, **_: P.kwargs) -> R:
        return remembered(*(a if isinstance(a, int) else _Same(a) for a in arguments))

    return call
