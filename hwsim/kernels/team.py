"""Threads that share one operation, for when there are more of them than chunks of images: latency, not throughput.

A thread that is given a team (`leading`) has it in reach of the kernels it calls; `shared` then does parts of a loop on the
team's threads, and one part itself. Without a team everything is done by the caller. Parts write to places of their own,
so that results do not depend on how many there are.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController


class _Lead(threading.local):
    """The team of a thread."""

    size = 1
    pool: ThreadPoolExecutor | None = None


_lead = _Lead()


@contextmanager
def leading(size: int) -> Iterator[None]:
    """This thread and `size` - 1 others share what `shared` is given."""
    if size < 2:
        yield
        return
    before = _lead.size, _lead.pool
    with ThreadPoolExecutor(size - 1) as pool:
        _lead.size, _lead.pool = size, pool
        try:
            yield
        finally:
            _lead.size, _lead.pool = before


def shared(count: int, least: int, work: Callable[[int, int], None]) -> None:
    """`work(start, stop)` for parts of 0..count, each a multiple of `least` long but for the last."""
    parts = min(_lead.size, max(1, count // least))
    if parts < 2 or _lead.pool is None:
        work(0, count)
        return
    step = -(-count // (parts * least)) * least
    size, pool = _lead.size, _lead.pool
    others = [pool.submit(work, start, min(start + step, count)) for start in range(step, count, step)]
    _lead.size = 1  # the others are busy with their parts, and have no time for parts of this one
    try:
        work(0, step)
    finally:
        _lead.size = size
        for other in others:
            other.result()


def blas_alone() -> AbstractContextManager[object]:
    """BLAS works on its caller's thread alone: how many it had would show in the last bits of float products."""
    limits: AbstractContextManager[object] = _blas().limit(limits=1, user_api="blas")
    return limits


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()
