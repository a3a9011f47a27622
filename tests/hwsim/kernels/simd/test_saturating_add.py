import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hwsim.kernels.simd.saturating_add import saturating_add


@given(
    kinds=st.tuples(*[st.sampled_from((np.int8, np.uint8, np.int16, np.uint16, np.int32))] * 2),
    shape=st.sampled_from(((1, 1, 1), (2, 3, 5), (2, 1, 77), (1, 2, 16), (3, 2, 33))),
    seed=st.integers(0, 2**32 - 1),
)
def test_equals_unbounded_integers(kinds, shape, seed):
    generator = np.random.default_rng(seed)
    a, b = (generator.integers(*_range(kind), shape, endpoint=True).astype(kind) for kind in kinds)
    out = np.empty(shape, np.int16)
    saturating_add(a, b, -(2**15), 2**15 - 1, out)
    for index, total in np.ndenumerate(out):
        assert total == min(max(int(a[index]) + int(b[index]), -(2**15)), 2**15 - 1)


def _range(kind):
    """What two of fit 32 bits."""
    return max(np.iinfo(kind).min, -(2**30)), min(np.iinfo(kind).max, 2**30 - 1)


def test_operands_may_be_repeated_and_lie_apart():
    generator = np.random.default_rng(0)
    a = generator.integers(-(2**15), 2**15, (3, 5, 90)).astype(np.int16)[:, ::2, 7:48]
    b = np.broadcast_to(generator.integers(-(2**15), 2**15, (1, 1, 41)).astype(np.int16), (3, 3, 41))
    out = np.full((3, 3, 50), 77, np.int16)
    saturating_add(a, b, -(2**15), 2**15 - 1, out[..., 3:44])
    wanted = np.full((3, 3, 50), 77)
    wanted[..., 3:44] = np.clip(a.astype(int) + b, -(2**15), 2**15 - 1)
    assert out.tolist() == wanted.tolist()
