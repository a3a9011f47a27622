"""The three quantization operators of torch models, each one node in an exported graph.

`hwsim::fake_quantize` is S1 after S2:

    z = clamp(round_half_even(zero_point), qmin, qmax)
    q = clamp(round_half_even(x / scale) + z, qmin, qmax)
    out = scale * (q - z)

`x` has any shape; `scale` (> 0) and `zero_point` have the shape (1,), axis None (per_tensor), or (x.shape[axis],)
(per_channel, per_head), axis -1 being the last. It divides; a product with the reciprocal would round elsewhere. All in
the dtype of `x`, float32 or float64. Gradients, with inside = qmin <= round(x / scale) + z <= qmax:

    x           1 inside, 0 outside                                           (straight-through estimator)
    scale       round(x / scale) - x / scale inside, q - z outside            (LSQ, arXiv 1902.08153, eq. 3)
    zero_point  0 inside, -scale outside                                      (LSQ+, arXiv 2004.09576, eq. 8, integer z)

the last two summed over what shares the scale and multiplied by `grad_factor`.

`hwsim::binarize` is the 1-bit signed form, codes -1 and +1: out = scale * (+1 if x >= 0 else -1). Gradients: x gets 1
where |x| <= scale, else 0 (arXiv 1602.02830, clipped at the scale); scale gets the sum of the codes.

`hwsim::shift_quantize` is the grid of a table (S14), whose numbers are tensors: code c means scale * value(c), with the
integer value(c) = (significand[c] << shift[c]) - zero, and

    out = scale * (the value whose interval, between neighbouring `boundaries`, holds x / scale; on one of them the larger)

`significand` and `shift` are int64 of shape (2^bits,), `zero` int64 of shape (1,). `boundaries` (2^bits - 1,) ascend; those
behind the last, where codes have equal values, are PAD. Gradients: x gets 1 where it is not clamped, that is beyond the
ends of the grid by no more than half of the last step, else 0; the scale gets none, for nothing of such a grid is learned.
"""

from typing import Any

import torch
from torch import Tensor


def along(values: Tensor, x: Tensor, axis: int | None) -> Tensor:
    """`values` of shape (1,) or (x.shape[axis],) in the shape that broadcasts against `x` along `axis`."""
    if axis is None:
        return values
    return values.reshape([-1 if i == axis % x.dim() else 1 for i in range(x.dim())])


def _sum(values: Tensor, axis: int | None) -> Tensor:
    """The sum of `values` over everything that shares a scale: shape (1,) or (values.shape[axis],)."""
    if axis is None:
        return values.sum().reshape(1)
    return values.sum([i for i in range(values.dim()) if i != axis % values.dim()])


@torch.library.custom_op("hwsim::fake_quantize", mutates_args=())
def fake_quantize(
    x: Tensor, scale: Tensor, zero_point: Tensor, qmin: int, qmax: int, axis: int | None, grad_factor: float
) -> Tensor:
    """Round `x` to the grid of `scale` and `zero_point`: S1 after S2."""
    s = along(scale, x, axis)
    z = along(zero_point.round().clamp_(qmin, qmax), x, axis)
    return torch.div(x, s).round_().add_(z).clamp_(qmin, qmax).sub_(z).mul_(s)


@fake_quantize.register_fake
def _(
    x: Tensor, scale: Tensor, zero_point: Tensor, qmin: int, qmax: int, axis: int | None, grad_factor: float
) -> Tensor:
    return torch.empty_like(x, dtype=torch.promote_types(x.dtype, scale.dtype))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, scale, zero_point, ctx.qmin, ctx.qmax, ctx.axis, ctx.grad_factor = inputs
    ctx.save_for_backward(x, scale, zero_point)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, scale, zero_point = ctx.saved_tensors
    s = along(scale, x, ctx.axis)
    z = along(zero_point.round().clamp(ctx.qmin, ctx.qmax), x, ctx.axis)
    u = x / s
    unclamped = u.round().add_(z)
    q = unclamped.clamp(ctx.qmin, ctx.qmax)
    inside = unclamped == q
    grad_x = grad * inside
    grad_scale = grad_zero_point = None
    if ctx.needs_input_grad[1]:
        grad_scale = _sum(q.sub_(z).sub_(u.mul_(inside)).mul_(grad), ctx.axis) * ctx.grad_factor
    if ctx.needs_input_grad[2]:
        grad_zero_point = -scale * _sum(grad - grad_x, ctx.axis) * ctx.grad_factor
    return grad_x, grad_scale, grad_zero_point, None, None, None, None


fake_quantize.register_autograd(_backward, setup_context=_keep)


@torch.library.custom_op("hwsim::binarize", mutates_args=())
def binarize(x: Tensor, scale: Tensor, axis: int | None) -> Tensor:
    """The sign of `x` (zero counts as +1) times `scale`."""
    s = along(scale, x, axis)
    return torch.where(x >= 0, s, -s)


@binarize.register_fake
def _(x: Tensor, scale: Tensor, axis: int | None) -> Tensor:
    return torch.empty_like(x, dtype=torch.promote_types(x.dtype, scale.dtype))


def _keep_sign(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, scale, ctx.axis = inputs
    ctx.save_for_backward(x, scale)


def _backward_sign(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, scale = ctx.saved_tensors
    grad_x = grad * (x.abs() <= along(scale, x, ctx.axis))
    grad_scale = _sum(torch.where(x >= 0, grad, -grad), ctx.axis) if ctx.needs_input_grad[1] else None
    return grad_x, grad_scale, None


binarize.register_autograd(_backward_sign, setup_context=_keep_sign)


PAD = torch.finfo(torch.float32).max
"""What boundaries are filled up with: finite, so that it can be stored, and never reached."""


def table(significand: Tensor, shift: Tensor, zero: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct integers of a table, ascending, and the code of each: the lowest where several have it."""
    values, codes = torch.sort((significand << shift) - zero, stable=True)
    first = torch.ones_like(values, dtype=torch.bool)
    first[1:] = values[1:] != values[:-1]
    return values[first], codes[first]


def intervals(x: Tensor, scale: Tensor, boundaries: Tensor, count: int, axis: int | None) -> Tensor:
    """Which of the `count` intervals holds x / scale: the number of boundaries that are not above it, int64."""
    steps = torch.div(x, along(scale, x, axis)).contiguous()
    return torch.bucketize(steps, boundaries[: count - 1].to(x.dtype), right=True)


@torch.library.custom_op("hwsim::shift_quantize", mutates_args=())
def shift_quantize(
    x: Tensor,
    scale: Tensor,
    boundaries: Tensor,
    significand: Tensor,
    shift: Tensor,
    zero: Tensor,
    axis: int | None,
    kind: str,
) -> Tensor:
    """Round `x` to the grid of a table (S14); `kind`, a quantizer of the catalogue, stands for numbers that are not there."""
    values, _ = table(significand, shift, zero)
    index = intervals(x, scale, boundaries, len(values), axis)
    return torch.mul(values.to(x.dtype)[index], along(scale, x, axis), out=torch.empty_like(x))


@shift_quantize.register_fake
def _(
    x: Tensor,
    scale: Tensor,
    boundaries: Tensor,
    significand: Tensor,
    shift: Tensor,
    zero: Tensor,
    axis: int | None,
    kind: str,
) -> Tensor:
    return torch.empty_like(x)


def _keep_table(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, scale, _, significand, shift, zero, ctx.axis, _ = inputs
    ctx.save_for_backward(x, scale, significand, shift, zero)


def _backward_table(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, scale, *numbers = ctx.saved_tensors
    values = table(*numbers)[0].to(x.dtype)
    steps = x / along(scale, x, ctx.axis)
    low, high = values[0] - (values[1] - values[0]) / 2, values[-1] + (values[-1] - values[-2]) / 2
    return (grad * ((steps >= low) & (steps <= high)), *(None,) * 7)


shift_quantize.register_autograd(_backward_table, setup_context=_keep_table)
