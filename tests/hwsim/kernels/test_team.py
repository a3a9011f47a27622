import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.kernels.team import blas_alone, leading, shared


def parts_of(count, least):
    parts, lock = [], threading.Lock()

    def work(start, stop):
        with lock:
            parts.append((start, stop))

    shared(count, least, work)
    return sorted(parts)


@given(count=st.integers(0, 300), least=st.integers(1, 40), size=st.integers(1, 5))
def test_every_index_belongs_to_one_part(count, least, size):
    with leading(size):
        parts = parts_of(count, least)
    assert [index for start, stop in parts for index in range(start, stop)] == list(range(count))
    assert len(parts) <= size
    assert all((stop - start) % least == 0 for start, stop in parts[:-1])
    assert parts_of(count, least) == [(0, count)]  # nobody leads now


def test_parts_run_at_the_same_time():
    meeting = threading.Barrier(3, timeout=30)
    with leading(3):
        shared(3, 1, lambda start, stop: meeting.wait())


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_exceptions_come_through_when_the_others_are_done(bad):
    done = []

    def work(start, stop):
        done.append(start)
        if start == bad:
            raise ValueError("no")

    with pytest.raises(ValueError, match=r"^no$"), leading(3):
        shared(3, 1, work)
    assert sorted(done) == [0, 1, 2]
    assert parts_of(9, 1) == [(0, 9)]


def test_parts_do_not_share_in_turn():
    inner = []

    def work(start, stop):
        if start:  # on a thread of the team
            shared(8, 1, lambda first, past: inner.append((first, past)))

    with leading(2):
        shared(2, 1, work)
    assert inner == [(0, 8)]


def test_a_team_within_a_team():
    with leading(2):
        with leading(4):
            assert len(parts_of(8, 1)) == 4
        assert len(parts_of(8, 1)) == 2
    assert len(parts_of(8, 1)) == 1


def test_teams_belong_to_threads():
    with leading(3), ThreadPoolExecutor(1) as other:
        assert len(other.submit(parts_of, 8, 1).result()) == 1
        assert len(parts_of(8, 1)) == 3


def test_blas_gets_its_threads_back():
    from threadpoolctl import threadpool_info

    def now():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    before = now()
    with blas_alone():
        assert set(now()) == {1}
    assert now() == before


def test_parts_within_a_part_are_done_by_its_thread():
    """The other threads have whole parts to do: what the caller shared again would wait behind those."""
    seen = []

    def inner(start, stop):
        seen.append((start, stop))

    with leading(2):
        shared(2, 1, lambda start, _: shared(8, 1, inner) if start == 0 else None)
        assert seen == [(0, 8)]
        assert len(parts_of(8, 1)) == 2
