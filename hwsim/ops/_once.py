"""What is made from an operator and a spec is made once: arrays of constants, proofs about them.

Operators and specs are values of thousands of integers, dear to hash; a graph holds one object of each, so that
identity finds them again.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

KEPT = 1024
"""Results of each function that are kept: more than a graph has nodes of one kind."""


def once(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, which remembers its latest results by the identity of its arguments (integers by value)."""
    kept: dict[tuple[int, ...], tuple[Any, R]] = {}

    @wraps(function)
    def call(*arguments: P.args, **keywords: P.kwargs) -> R:
        key = tuple([a if type(a) is int else id(a) for a in arguments])
        found = kept.get(key)
        if found is None:
            # the arguments live on, so that no other object gets their identity
            found = kept[key] = arguments, function(*arguments, **keywords)
            if len(kept) > KEPT:
                with suppress(KeyError, RuntimeError, StopIteration):  # another thread may be at it too
                    del kept[next(iter(kept))]
        return found[1]

    return call
