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
    others = [_lead.pool.submit(work, start, min(start + step, count)) for start in range(step, count, step)]
    work(0, step)
    for other in others:
        other.result()


def blas_threads(count: int) -> AbstractContextManager[object]:
    """Let BLAS, which the float products use, have `count` threads for each caller."""
    limits: AbstractContextManager[object] = _blas().limit(limits=count, user_api="blas")
    return limits


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()
