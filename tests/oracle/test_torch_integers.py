"""PyTorch's integer arithmetic on the same codes: linear, matmul and conv2d (S3) at random and at the extremes.

int64 is the judge, because it cannot overflow here; `torch._int_mm` (int8 to int32) is what quantized models run with.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import IllegalModel
from hwsim.ops.conv2d import Conv2d
from hwsim.ops.linear import Linear
from hwsim.ops.matmul import MatMul
from hwsim.spec import QuantSpec, TensorSpec

torch = pytest.importorskip("torch")


class Operand:
    """Codes with their spec for us, and what they stand for (less the zero point) as int64 for torch."""

    def __init__(self, generator, grid, shape, *, batched=False, images=1):
        full = (images * shape[0], *shape[1:]) if batched else shape
        ends = np.array([grid.qmin, grid.qmax])
        codes = (
            generator.choice(ends, full) if generator.random() < 0.5 else generator.integers(*ends, full, endpoint=True)
        )
        self.ours = codes.astype(grid.container), TensorSpec(shape, grid, batched)
        self.theirs = torch.from_numpy(codes.astype(np.int64) - grid.zero_point[0])


def _grid(data, bits):
    bare = QuantSpec(bits, data.draw(st.booleans()), (1.0,))
    return QuantSpec(bits, bare.signed, (1.0,), (data.draw(st.sampled_from((0, bare.qmin, bare.qmax))),))


def _same(ours, theirs):
    """Equal integers, in int32 where no accumulator wrapped."""
    assert ours[0].dtype == np.int32
    assert torch.equal(torch.from_numpy(ours[0]).to(torch.int64), theirs)


BITS = st.integers(1, 8) | st.just(10)


@given(data=st.data(), bits=st.tuples(BITS, BITS), depth=st.sampled_from((1, 2, 17, 768)), seed=st.integers(0))
def test_linear(apply, data, bits, depth, seed):
    generator = np.random.default_rng(seed)
    x = Operand(generator, _grid(data, bits[0]), (1, 3, depth), batched=True, images=2)
    weight = Operand(generator, _grid(data, bits[1]), (5, depth))
    _same(apply(Linear(), x.ours, weight.ours), x.theirs @ weight.theirs.T)


@given(data=st.data(), bits=st.tuples(BITS, BITS), depth=st.sampled_from((1, 2, 33, 197)), seed=st.integers(0))
def test_matmul(apply, data, bits, depth, seed):
    generator = np.random.default_rng(seed)
    a = Operand(generator, _grid(data, bits[0]), (1, 2, 3, depth), batched=True, images=2)
    b = Operand(generator, _grid(data, bits[1]), (1, 2, depth, 4), batched=True, images=2)
    _same(apply(MatMul(), a.ours, b.ours), a.theirs @ b.theirs)


@given(
    data=st.data(),
    bits=st.tuples(BITS, BITS),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    groups=st.integers(1, 3),
    seed=st.integers(0),
)
def test_conv2d(apply, data, bits, stride, padding, groups, seed):
    generator = np.random.default_rng(seed)
    x = Operand(generator, _grid(data, bits[0]), (1, 2 * groups, 7, 6), batched=True, images=2)
    weight = Operand(generator, _grid(data, bits[1]), (2 * groups, 2, 3, 2))
    theirs = torch.nn.functional.conv2d(x.theirs, weight.theirs, None, stride, padding, 1, groups)
    _same(apply(Conv2d(stride, padding, groups), x.ours, weight.ours), theirs)


@pytest.mark.parametrize("code", [(-128, -128), (-128, 127), (127, 127)])
def test_int_mm_at_the_extremes(apply, code):
    """The deepest sum of a ViT-B (K = 3072), every product at an extreme."""
    grid = QuantSpec(8, True, (1.0,))
    a, b = np.full((32, 3072), code[0], np.int8), np.full((3072, 16), code[1], np.int8)
    ours = apply(Linear(), (a, TensorSpec((1, 3072), grid)), (b.T, TensorSpec((16, 3072), grid, batched=False)))
    theirs = torch._int_mm(torch.from_numpy(a), torch.from_numpy(b))
    assert torch.equal(torch.from_numpy(ours[0]), theirs)
    assert ours[0][0, 0] == 3072 * code[0] * code[1]


def test_the_widest_accumulator(apply):
    """2**15 products of -256 and -256 make 2**31, one too many for int32, and are refused; one product fewer fits."""
    grid = QuantSpec(9, True, (1.0,))
    a, b = (np.full((1, 2**15 - 1), -256, np.int16) for _ in range(2))
    ours, spec = apply(Linear(), (a, TensorSpec(a.shape, grid)), (b, TensorSpec(b.shape, grid, batched=False)))
    assert spec.quant.bits == 32
    assert ours.tolist() == (torch.from_numpy(a).long() @ torch.from_numpy(b).long().T).tolist() == [[2**31 - 2**16]]
    with pytest.raises(IllegalModel, match=r"^accumulator needs 33 bits, got 32; "):
        Linear().infer((TensorSpec((1, 2**15), grid), TensorSpec((1, 2**15), grid, batched=False)))
