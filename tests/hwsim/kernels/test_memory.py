import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.kernels import memory
from hwsim.kernels.memory import ALIGNMENT, _size_class, empty, empty_like, inverse, memory_order


@given(shape=st.lists(st.integers(0, 9), max_size=4), kind=st.sampled_from(("u1", "i2", "i4", "f8")))
def test_like_numpy_and_on_a_cache_line(shape, kind):
    made = empty(tuple(shape), kind)
    assert (made.shape, made.dtype) == (tuple(shape), np.dtype(kind))
    assert made.flags.c_contiguous
    assert made.flags.writeable
    assert made.ctypes.data % ALIGNMENT == 0
    made[...] = 1
    assert made.sum() == made.size


@pytest.fixture
def shelf(monkeypatch):
    """An empty one, which no other test's arrays go to."""
    monkeypatch.setattr(memory, "_SHELF", memory._Shelf())
    return memory._SHELF


def test_a_block_is_used_again_once_nobody_holds_it(shelf):
    first = empty((100, 100), np.float64)
    address, view = first.ctypes.data, first[3:7].T.view(np.int64)
    del first
    other = empty((100, 100), np.float64)  # the view still holds the first
    assert other.ctypes.data != address
    view[...] = 5
    other[...] = 0
    assert (view == 5).all()
    del view
    again = empty((99, 100), np.float64)  # of the same size class
    assert again.ctypes.data == address


def test_arrays_outlive_their_thread_and_serve_another(shelf):
    def made(value):
        array = empty((5000,), np.int32)
        array[...] = value
        return array

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(made, 3).result()
        address = held.ctypes.data
    gc.collect()
    other = made(4)
    assert (held == 3).all()
    assert other.ctypes.data != address
    del held
    assert made(5).ctypes.data == address


def test_no_more_is_kept_than_may_be(shelf, monkeypatch):
    monkeypatch.setattr(memory, "KEPT", 100_000)
    held = [empty((10_000,), np.uint8) for _ in range(30)]
    held.clear()
    kept = sum(size * len(blocks) for size, blocks in shelf.blocks.items())
    assert 0 < kept == shelf.size <= 100_000
    empty((10_000,), np.uint8)  # taken from the shelf and put back
    assert shelf.size == kept


def test_memory_that_there_is_not():
    """Warnings are errors here: nothing is left half made."""
    with pytest.raises(MemoryError):
        empty((1 << 60,), np.uint8)
    gc.collect()


@given(size=st.integers(1, 1 << 34))
def test_size_classes(size):
    found = _size_class(size)
    assert found >= size
    assert found % 4096 == 0
    assert found - size < max(4096, found / 5 + 1)
    assert _size_class(found) == found


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_order_of_axes_is_kept(order):
    base = np.zeros((4, 5, 6), np.int16).transpose(order)
    for array in (base, base[:, ::2], base[::-1]):
        made = empty_like(array, np.int8)
        assert made.shape == array.shape
        assert np.argsort(made.strides).tolist() == np.argsort(np.abs(array.strides)).tolist()
        assert np.copy(made, order="K").nbytes == made.nbytes
    assert empty_like(np.zeros(()), np.int8).shape == ()


def test_what_threads_hold_is_never_overwritten(shelf):
    """Arrays of few sizes are made, handed from thread to thread, checked and dropped, in any order."""
    passed, lock = [], threading.Lock()

    def work(seed):
        generator = np.random.default_rng(seed)
        held = []
        for turn in range(300):
            made = empty((int(generator.integers(1, 4)), 1500), np.int32)
            mark = seed * 1000 + turn
            made[...] = mark
            held.append((mark, made[:, ::2] if turn % 3 else made))
            if len(held) > generator.integers(1, 9):
                with lock:
                    passed.append(held.pop(int(generator.integers(len(held)))))
                    mark, made = passed.pop(int(generator.integers(len(passed))))
                assert (made == mark).all()
                if turn % 2:
                    held.append((mark, made))
                del made
        return all((made == mark).all() for mark, made in held)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(16)))
    passed.clear()
    gc.collect()
    assert shelf.size == sum(size * len(blocks) for size, blocks in shelf.blocks.items())


@given(order=st.permutations(range(5)))
def test_the_inverse_of_an_order_undoes_it(order):
    assert inverse(order) == np.argsort(order).tolist()
    turned = np.empty((2, 3, 4, 5, 6)).transpose(order)
    assert memory_order(turned) == inverse(order)
    assert turned.transpose(inverse(order)).flags.c_contiguous
