import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hwsim.ops._rowviews import by_grid, by_last, real, room_for


@st.composite
def arrays(draw):
    """Floats of one to five axes in any order, with gaps, repeated or not."""
    ndim = draw(st.integers(1, 5))
    shape = draw(st.tuples(*[st.integers(1, 4)] * ndim))
    step = draw(st.tuples(*[st.sampled_from((1, 1, 2, -1))] * ndim))
    whole = np.random.default_rng(draw(st.integers(0))).normal(size=tuple(2 * size for size in shape))
    x = whole[tuple(slice(None, None, s) for s in step)][tuple(slice(size) for size in shape)]
    if draw(st.booleans()):
        x = np.broadcast_to(x[:1], x.shape)
    return x.transpose(draw(st.permutations(range(ndim))))


def check(x, view, channels):
    """What is written row by row lies where x has it; `channels` says which row or column belongs to which channel."""
    rows, result = view.like(x.dtype)
    assert rows.shape == view.rows.shape
    assert np.shares_memory(rows, result)
    assert view.rows.strides[2] == x.itemsize or view.rows.shape[2] == 1
    rows[...] = view.rows
    np.testing.assert_array_equal(result, x)
    if channels is not None:
        rows[...] = channels[0]
        np.testing.assert_array_equal(result, np.broadcast_to(channels[1], x.shape))


@given(x=arrays(), data=st.data())
def test_by_grid(x, data):
    axis = data.draw(st.none() | st.integers(0, x.ndim - 1))
    view, columns = by_grid(x, axis)
    if axis is None:
        check(x, view, None)
    else:
        index = np.arange(x.shape[axis], dtype=np.float64)
        along = index.reshape([-1 if i == axis else 1 for i in range(x.ndim)])
        check(x, view, (index if columns else index[:, np.newaxis], along))


@given(x=arrays())
def test_by_last(x):
    view = by_last(x)
    assert view.rows.shape[2] == x.shape[-1]
    check(x, view, (np.arange(x.shape[-1]), np.arange(x.shape[-1])))


def test_heads_of_attention_are_not_copied():
    """(B, N, 3, H, D), a slice of it, and its transposes."""
    x = np.zeros((2, 5, 3, 4, 6))
    heads = x[:, :, 1].transpose(0, 2, 1, 3)
    for view in (by_last(heads), by_grid(heads, 1)[0], by_grid(heads, None)[0], by_grid(heads.swapaxes(2, 3), 1)[0]):
        assert np.shares_memory(view.rows, x)
    assert by_last(heads).like(np.int8)[1].transpose(0, 2, 1, 3).flags.c_contiguous


def test_a_scalar_and_other_floats():
    view, columns = by_grid(np.array(3.5), None)
    assert (view.rows.tolist(), columns) == ([[[3.5]]], False)
    single = np.ones((2, 3), np.float32).T
    assert real(single).dtype == np.float64
    assert real(single).strides == (8, 24)


def test_room_lies_as_the_operand_of_its_shape():
    x, y = np.zeros((4, 3)).T, np.zeros((3, 1))
    assert room_for((y, x)).strides == x.strides
    assert room_for((y, np.zeros(4))).shape == (3, 4)
