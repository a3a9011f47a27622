"""The ATen operators that a captured model may hold, and what each becomes in the Graph.

RULES maps an operator's name to a rule(tracer, site, *args): operands are Activation (a value of the graph), Constant (a
tensor known now) or plain Python values; the result is an Activation, a Constant or a list of them. To support another
operator, add a rule here and, where it is new arithmetic, a file to `hwsim/ops`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from hwsim.errors import IllegalModel
from hwsim.ops.add import Add
from hwsim.ops.concat import Concat
from hwsim.ops.conv2d import Conv2d
from hwsim.ops.gelu import Gelu
from hwsim.ops.layernorm import LayerNorm
from hwsim.ops.linear import Linear
from hwsim.ops.matmul import MatMul
from hwsim.ops.mean import Mean
from hwsim.ops.mul import Mul
from hwsim.ops.quantize import Quantize
from hwsim.ops.reshape import Reshape
from hwsim.ops.roll import Roll
from hwsim.ops.slice import Slice
from hwsim.ops.softmax import Softmax
from hwsim.ops.transpose import Transpose
from hwsim.spec import BipolarSpec, IntegerSpec, QuantSpec, TensorSpec
from qmodels.tracer import Activation, Constant, Site, Tracer, quantized

WHOLE = 2**63 - 1
"""How ATen writes the open end of a slice."""


def _fake_quantize(
    t: Tracer,
    site: Site,
    x: Activation | Constant,
    scale: Constant,
    zero_point: Constant,
    qmin: int,
    qmax: int,
    axis: int | None,
    grad_factor: float,
) -> Activation | Constant:
    zeros = zero_point.tensor.round().clamp(qmin, qmax).to(torch.int64)
    bits = (qmax - qmin).bit_length()
    spec = QuantSpec(bits, qmin < 0, tuple(scale.tensor.tolist()), tuple(zeros.tolist()), axis)
    return _quantized(t, site, x, spec)


def _binarize(t: Tracer, site: Site, x: Activation | Constant, scale: Constant, axis: int | None) -> Any:
    return _quantized(t, site, x, BipolarSpec(tuple(scale.tensor.tolist()), axis))


def _quantized(t: Tracer, site: Site, x: Activation | Constant, spec: IntegerSpec) -> Activation | Constant:
    """An activation gets a Quantize node; a constant becomes codes now, by the same operator."""
    name = site.path.removesuffix("_quantizer")
    spec = spec if spec.axis is None else spec.moved_to(spec.axis % len(site.shape))  # -1 is the last
    if isinstance(x, Activation):
        return t.emit(name, Quantize(spec), t.real(x), quantized=True)
    array = x.tensor.detach().double().numpy()
    float_spec = TensorSpec(array.shape, None, batched=False)
    codes = Quantize(spec).run((array,), (float_spec,), TensorSpec(array.shape, spec, batched=False))
    return Constant(x.tensor, x.name, t.constant(name, codes, spec))


def _linear(
    t: Tracer, site: Site, x: Activation, weight: Constant | Activation, bias: Constant | None = None
) -> Activation:
    acc = t.emit(site.path, Linear(), t.operand(x, site.path), t.operand(weight, f"{site.path}.weight"))
    return _with_bias(t, site, t.after_product(acc, quantized(x, weight)), bias, (-1,))


def _conv2d(
    t: Tracer,
    site: Site,
    x: Activation,
    weight: Constant,
    bias: Constant | None = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] | str = (0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> Activation:
    if isinstance(padding, str) or any(d != 1 for d in dilation):
        raise IllegalModel(
            f"{site.path}: padding is two numbers and dilation 1, got {padding} and {dilation}; replace it"
        )
    op = Conv2d(_pair(stride), _pair(padding), groups)
    acc = t.emit(site.path, op, t.operand(x, site.path), t.operand(weight, f"{site.path}.weight"))
    return _with_bias(t, site, t.after_product(acc, quantized(x, weight)), bias, (-1, 1, 1))


def _pair(values: Sequence[int]) -> tuple[int, int]:
    return (int(values[0]), int(values[-1]))


def _with_bias(t: Tracer, site: Site, x: Activation, bias: Constant | None, shape: tuple[int, ...]) -> Activation:
    if bias is None:
        return x
    value = t.constant(f"{site.path}.bias.value", bias.tensor.detach().double().numpy().reshape(shape))
    return t.emit(f"{site.path}.bias", Add(), x.name, value)


def _matmul(t: Tracer, site: Site, a: Activation, b: Activation) -> Activation:
    name = site.path if _is_product(site.path) else f"{site.path}.matmul"
    acc = t.emit(name, MatMul(), t.operand(a, f"{name}.a"), t.operand(b, f"{name}.b"))
    return t.after_product(acc, quantized(a, b))


def _is_product(path: str) -> bool:
    return path.rsplit(".", 1)[-1] in ("qk", "av")


def _layer_norm(
    t: Tracer,
    site: Site,
    x: Activation,
    normalized_shape: Sequence[int],
    weight: Constant | None = None,
    bias: Constant | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Activation:
    if len(normalized_shape) != 1:
        raise IllegalModel(
            f"{site.path}: layernorm is over the last axis, got {list(normalized_shape)}; reshape before"
        )
    ones = torch.ones(normalized_shape, dtype=torch.float64)
    gain = weight or Constant(ones, "weight")
    shift = bias or Constant(torch.zeros_like(ones), "bias")
    return t.emit(
        site.path, LayerNorm(eps), t.real(x), t.real(gain, f"{site.path}.weight"), t.real(shift, f"{site.path}.bias")
    )


def _softmax(t: Tracer, site: Site, x: Activation, dim: int, dtype: Any = None) -> Activation:
    if dim not in (-1, len(site.shape) - 1):
        raise IllegalModel(f"{site.path}: softmax is over the last axis, got {dim}; transpose before")
    return t.emit(_local(site, "softmax"), Softmax(), t.real(x))


def _gelu(t: Tracer, site: Site, x: Activation, approximate: str = "none") -> Activation:
    if approximate != "none":
        raise IllegalModel(f"{site.path}: gelu is the exact one, got {approximate!r}; build the model with nn.GELU()")
    return t.emit(_local(site, "gelu"), Gelu(), t.real(x))


def _add(t: Tracer, site: Site, a: Any, b: Any, alpha: int = 1) -> Activation:
    if alpha != 1:
        raise IllegalModel(f"{site.path}: add takes its operands as they are, got alpha {alpha}; scale one before")
    name = _local(site, "add")
    return t.emit(name, Add(), *(t.real(_constant(v), f"{name}.value") for v in (a, b)))


def _mul(t: Tracer, site: Site, a: Any, b: Any) -> Activation:
    name = _local(site, "mul")
    return t.emit(name, Mul(), *(t.real(_constant(v), f"{name}.value") for v in (a, b)))


def _div(t: Tracer, site: Site, a: Any, b: Any) -> Activation:
    exact = isinstance(b, int | float) and np.frexp(b)[0] == 0.5
    if not exact:
        raise IllegalModel(f"{site.path}: division is by a power of two, got {b}; multiply instead")
    return _mul(t, site, a, 1.0 / b)


def _constant(value: Any) -> Activation | Constant:
    return (
        value
        if isinstance(value, Activation | Constant)
        else Constant(torch.tensor([float(value)], dtype=torch.float64), "value")
    )


def _reshape(t: Tracer, site: Site, x: Activation, *_: Any) -> Activation:
    source = x if x.quantized else Activation(t.real(x))
    return t.emit(_local(site, "reshape"), Reshape(site.shape), source.name, quantized=x.quantized)


def _permute(t: Tracer, site: Site, x: Activation, dims: Sequence[int]) -> Activation:
    rank = len(dims)
    order = tuple(d % rank for d in dims)
    if x.order:
        raise IllegalModel(f"{site.path}: the batch must stay the leading axis, got two permutations; slice in between")
    if order[0] != 0:
        return Activation(x.name, x.quantized, order)
    return t.emit(_local(site, "transpose"), Transpose(order), x.name, quantized=x.quantized)


def _transpose(t: Tracer, site: Site, x: Activation, first: int, second: int) -> Activation:
    order = list(range(len(site.shape)))
    order[first], order[second] = order[second], order[first]
    return _permute(t, site, x, order)


def _unbind(t: Tracer, site: Site, x: Activation, dim: int = 0, count: int = 0) -> list[Activation]:
    return [_select(t, site, x, dim, index) for index in range(count)]


def _select(t: Tracer, site: Site, x: Activation, dim: int, index: int) -> Activation:
    order = x.order or tuple(range(len(site.shape) + 1))
    axis = order[dim % len(order)]
    if index < 0:
        raise IllegalModel(f"{site.path}: an index is counted from the start, got {index}; write it so")
    part = t.emit(_local(site, "slice"), Slice(axis, index, index + 1, drop=True), x.name, quantized=x.quantized)
    rest = tuple(o - (o > axis) for o in order if o != axis)
    return part if rest == tuple(range(len(rest))) else _permute(t, site, part, rest)


def _slice(
    t: Tracer, site: Site, x: Activation, dim: int = 0, start: int | None = None, end: Any = None, step: int = 1
) -> Activation:
    begin = start or 0
    if dim == 0 and begin == 0 and end == WHOLE:
        return x
    if dim == 0 or begin < 0:
        raise IllegalModel(
            f"{site.path}: a slice starts inside an axis behind the batch, got axis {dim}, start {start}; rewrite it"
        )
    stop = begin + (site.shape[dim] - 1) * step + 1
    return t.emit(_local(site, "slice"), Slice(dim, begin, stop, step), x.name, quantized=x.quantized)


def _cat(t: Tracer, site: Site, parts: Sequence[Activation | Constant], dim: int = 0) -> Activation:
    name = _local(site, "concat")
    return t.emit(name, Concat(dim % len(site.shape)), *(t.real(p, f"{name}.{p.name}") for p in parts))


def _roll(t: Tracer, site: Site, x: Activation, shifts: Sequence[int], dims: Sequence[int] = ()) -> Activation:
    op = Roll(tuple(shifts), tuple(d % len(site.shape) for d in dims))
    return t.emit(_local(site, "roll"), op, x.name, quantized=x.quantized)


def _mean(
    t: Tracer, site: Site, x: Activation, dim: Sequence[int], keepdim: bool = False, dtype: Any = None
) -> Activation:
    rank = len(site.shape) + (0 if keepdim else len(dim))
    return t.emit(_local(site, "mean"), Mean(tuple(sorted(d % rank for d in dim)), keepdim), t.real(x))


def _pad(
    t: Tracer, site: Site, x: Activation, pad: Sequence[int], mode: str = "constant", value: Any = None
) -> Activation:
    if any(pad):
        raise IllegalModel(
            f"{site.path}: the image must fill its windows, got padding {list(pad)}; choose another size"
        )
    return x


def _expand(t: Tracer, site: Site, x: Constant | Activation, sizes: Sequence[Any]) -> Constant | Activation:
    """A constant repeated for every image stays itself: operators broadcast it."""
    if not isinstance(x, Constant) or tuple(x.tensor.shape) != (1, *site.shape[1:]):
        raise IllegalModel(f"{site.path}: only a constant is repeated along the batch, got {x}; concatenate instead")
    return x


def _same(t: Tracer, site: Site, x: Activation, *_: Any, **__: Any) -> Activation:
    return x


def _local(site: Site, kind: str) -> str:
    """A functional operator's name: its module's path and its kind, once where the module is that operator."""
    last = site.path.rsplit(".", 1)[-1]
    return site.path if last == kind else f"{site.path}.{kind}".lstrip(".")


RULES: dict[str, Callable[..., Any]] = {
    "hwsim.fake_quantize": _fake_quantize,
    "hwsim.binarize": _binarize,
    "aten.linear": _linear,
    "aten.conv2d": _conv2d,
    "aten.matmul": _matmul,
    "aten.layer_norm": _layer_norm,
    "aten.softmax": _softmax,
    "aten.gelu": _gelu,
    "aten.add": _add,
    "aten.mul": _mul,
    "aten.div": _div,
    "aten.reshape": _reshape,
    "aten.view": _reshape,
    "aten.flatten": _reshape,
    "aten.unsqueeze": _reshape,
    "aten.squeeze": _reshape,
    "aten.permute": _permute,
    "aten.transpose": _transpose,
    "aten.unbind": _unbind,
    "aten.select": _select,
    "aten.slice": _slice,
    "aten.cat": _cat,
    "aten.roll": _roll,
    "aten.mean": _mean,
    "aten.pad": _pad,
    "aten.expand": _expand,
    "aten.dropout": _same,
    "aten.contiguous": _same,
    "aten.clone": _same,
    "aten.alias": _same,
}
