"""Oracles: torch's own fake quantization, forward and (learnable) backward; opcheck; finite differences."""

import pytest
import torch

from qmodels.fake_quantize import binarize, fake_quantize

RANGES = [(-128, 127), (0, 255), (-8, 7), (0, 15), (-2, 1), (0, 3), (0, 1)]


def _power_of_two_case(qmin, qmax, size=1):
    """Scales that are powers of two, so that dividing and multiplying with the reciprocal agree, ties included."""
    x = torch.randint(-400, 400, (4, 3, 50)) / 64
    return x, torch.full((size,), 0.0625), torch.full((size,), float((qmin + qmax) // 2))


@pytest.mark.parametrize(("qmin", "qmax"), RANGES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_equal_torch_per_tensor(qmin, qmax, dtype):
    x, scale, zero_point = _power_of_two_case(qmin, qmax)
    ours = fake_quantize(x.to(dtype), scale.to(dtype), zero_point.to(dtype), qmin, qmax, None, 1.0)
    theirs = torch.fake_quantize_per_tensor_affine(x, scale[0].item(), int(zero_point[0]), qmin, qmax)
    assert torch.equal(ours, theirs.to(dtype))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_values_equal_torch_per_channel(axis):
    x = torch.randint(-400, 400, (4, 3, 5)) / 64
    scale = 2.0 ** -torch.arange(x.shape[axis])
    zero_point = torch.arange(x.shape[axis])
    ours = fake_quantize(x, scale, zero_point.float(), 0, 15, axis, 1.0)
    assert torch.equal(ours, torch.fake_quantize_per_channel_affine(x, scale, zero_point.int(), axis, 0, 15))


def test_ties_round_to_even_and_the_zero_point_is_rounded_and_clamped():
    x = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5])
    one, zero = torch.ones(1), torch.zeros(1)
    assert fake_quantize(x, one, zero, -8, 7, None, 1.0).tolist() == [0, 2, 2, 0, -2]
    assert fake_quantize(torch.tensor([-9.0]), one, torch.tensor([2.5]), 0, 15, None, 1.0).tolist() == [-2.0]
    assert fake_quantize(torch.tensor([-9.0]), one, torch.tensor([99.0]), 0, 3, None, 1.0).tolist() == [-3.0]


@pytest.mark.parametrize("factor", [1.0, 0.125])
def test_gradients_equal_torch_learnable(factor):
    x, scale, zero_point = _power_of_two_case(0, 15)
    x = x + 0.003  # off the ties, where torch rounds after adding the zero point
    upstream = torch.randn_like(x)
    leaves = [t.clone().requires_grad_() for t in (x, scale, zero_point)]
    fake_quantize(*leaves, 0, 15, None, factor).backward(upstream)
    theirs = torch._fake_quantize_learnable_per_tensor_affine(
        *(t.requires_grad_() for t in (x, scale, zero_point)), 0, 15, factor
    )
    theirs.backward(upstream)
    for ours, other in zip(leaves, (x, scale, zero_point), strict=True):
        torch.testing.assert_close(ours.grad, other.grad, rtol=1e-4, atol=1e-5)


def test_lsq_gradients_by_hand():
    """Codes -8..7, scale 0.5: below, inside (2.6 rounds to 3), above."""
    x = torch.tensor([-9.0, 1.3, 9.0], requires_grad=True)
    scale, zero_point = torch.tensor([0.5], requires_grad=True), torch.tensor([0.0], requires_grad=True)
    fake_quantize(x, scale, zero_point, -8, 7, None, 0.1).sum().backward()
    assert x.grad.tolist() == [0, 1, 0]
    assert scale.grad.item() == pytest.approx(0.1 * (-8 + (3 - 2.6) + 7))
    assert zero_point.grad.item() == pytest.approx(0.1 * (-0.5 - 0.5))


def test_per_channel_gradients_are_those_of_each_channel():
    x, scale = torch.randn(5, 3, 7), torch.tensor([0.1, 0.3, 0.7])
    zero_point = torch.tensor([3.0, 7.0, 9.0])
    leaves = [t.clone().requires_grad_() for t in (x, scale, zero_point)]
    upstream = torch.randn_like(x)
    fake_quantize(*leaves, 0, 15, 1, 0.5).backward(upstream)
    for c in range(3):
        alone = [t.clone().requires_grad_() for t in (x[:, c], scale[c : c + 1], zero_point[c : c + 1])]
        fake_quantize(*alone, 0, 15, None, 0.5).backward(upstream[:, c])
        torch.testing.assert_close(leaves[0].grad[:, c], alone[0].grad)
        torch.testing.assert_close(leaves[1].grad[c], alone[1].grad[0])
        torch.testing.assert_close(leaves[2].grad[c], alone[2].grad[0])


def test_binarize():
    x = torch.tensor([-3.0, -0.1, 0.0, 0.4], requires_grad=True)
    scale = torch.tensor([0.5], requires_grad=True)
    out = binarize(x, scale, None)
    assert out.tolist() == [-0.5, -0.5, 0.5, 0.5]
    out.backward(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert x.grad.tolist() == [0, 2, 3, 4]
    assert scale.grad.item() == -1 - 2 + 3 + 4


@pytest.mark.parametrize("operator", ["fake_quantize", "binarize"])
def test_axis_minus_one_is_the_last_in_values_and_gradients(operator):
    results = []
    for axis in (2, -1):
        x = torch.linspace(-3, 3, 60).reshape(4, 3, 5).requires_grad_()
        scale = (torch.arange(5) + 1.0).requires_grad_()
        if operator == "binarize":
            out = binarize(x, scale, axis)
        else:
            out = fake_quantize(x, scale, torch.arange(5.0), 0, 3, axis, 0.5)
        results.append((out, *torch.autograd.grad(out.square().sum(), (x, scale))))
    assert all(torch.equal(first, last) for first, last in zip(*results, strict=True))


@pytest.mark.parametrize("axis", [None, 1])
def test_opcheck(axis):
    x = torch.randn(2, 3, 4, 5).permute(0, 2, 1, 3)[:, :3].requires_grad_()  # neither dense nor contiguous
    size = 1 if axis is None else 3
    scale, zero_point = torch.full((size,), 0.1, requires_grad=True), torch.full((size,), 3.0, requires_grad=True)
    torch.library.opcheck(fake_quantize, (x, scale, zero_point, 0, 15, axis, 0.5))
    torch.library.opcheck(binarize, (x, scale, axis))


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_what_is_said_of_the_result_without_computing_it_is_its_type(half):
    """Under autocast activations are half, scales are not; a compiler believes what it is told."""
    arguments = (torch.ones(1), torch.zeros(1), -2, 1, None, 1.0)
    real, said = (
        fake_quantize(torch.ones(2, 3).to(half), *arguments),
        fake_quantize(
            torch.ones(2, 3, dtype=half, device="meta"),
            *(a.to("meta") if isinstance(a, torch.Tensor) else a for a in arguments),
        ),
    )
    assert real.dtype == said.dtype == torch.float32
    scale = torch.ones(1)
    x = torch.ones(2, 3, dtype=half)
    assert binarize(x, scale, None).dtype == binarize(x.to("meta"), scale.to("meta"), None).dtype == torch.float32
