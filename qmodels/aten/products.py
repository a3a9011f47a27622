"""Rules of the products: linear, convolution, matrix product. Integers where both operands are codes; a bias is an Add."""

from collections.abc import Sequence
from dataclasses import replace

from hwsim.errors import IllegalModel
from hwsim.ops.add import Add
from hwsim.ops.conv2d import Conv2d
from hwsim.ops.linear import Linear
from hwsim.ops.matmul import MatMul
from qmodels.tracer import Activation, Constant, Rule, Site, Tracer, array_of, pair, quantized


def _linear(
    t: Tracer, site: Site, x: Activation, weight: Constant | Activation, bias: Constant | None = None
) -> Activation:
    if isinstance(weight, Constant) and weight.name.startswith(f"{site.path}.") and weight.name.endswith(".weight"):
        site = replace(site, path=weight.name.removesuffix(".weight"))  # called with the weight of a child
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
    if isinstance(padding, str):
        padding = _named_padding(site, padding, weight, dilation)
    op = Conv2d(pair(stride), pair(padding), groups, pair(dilation))
    acc = t.emit(site.path, op, t.operand(x, site.path), t.operand(weight, f"{site.path}.weight"))
    return _with_bias(t, site, t.after_product(acc, quantized(x, weight)), bias, (-1, 1, 1))


def _named_padding(site: Site, name: str, weight: Constant, dilation: Sequence[int]) -> list[int]:
    """What `valid` and `same` are as numbers; torch takes `same` with a stride of 1 alone."""
    total = [d * (k - 1) if name == "same" else 0 for d, k in zip(pair(dilation), weight.tensor.shape[2:], strict=True)]
    if any(n % 2 for n in total):
        raise IllegalModel(
            f"{site.path}: padding is the same on both sides, got {total} in all; pad before the convolution"
        )
    return [n // 2 for n in total]


def _with_bias(t: Tracer, site: Site, x: Activation, bias: Constant | None, shape: tuple[int, ...]) -> Activation:
    if bias is None:
        return x
    value = t.constant(f"{site.path}.bias.value", array_of(bias.tensor).reshape(shape))
    return t.emit(f"{site.path}.bias", Add(), x.name, value)


def _matmul(t: Tracer, site: Site, a: Activation, b: Activation) -> Activation:
    name = site.path if _is_product(site.path) else f"{site.path}.matmul"
    acc = t.emit(name, MatMul(), t.operand(a, f"{name}.a"), t.operand(b, f"{name}.b"))
    return t.after_product(acc, quantized(a, b))


def _is_product(path: str) -> bool:
    return path.rsplit(".", 1)[-1] in ("qk", "av")


RULES: dict[str, Rule] = {
    "aten.linear": _linear,
    "aten.conv2d": _conv2d,
    "aten.matmul": _matmul,
}
