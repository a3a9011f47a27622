"""Rules of activation functions of one operand: float islands."""

from typing import Any

from hwsim.errors import IllegalModel
from hwsim.ops.add import Add
from hwsim.ops.clip import Clip
from hwsim.ops.div import Div
from hwsim.ops.gelu import Gelu
from hwsim.ops.gelutanh import GeluTanh
from hwsim.ops.mul import Mul
from hwsim.ops.relu import Relu
from hwsim.ops.sigmoid import Sigmoid
from hwsim.ops.silu import Silu
from hwsim.ops.softmax import Softmax
from qmodels.tracer import Activation, Rule, Site, Tracer, as_value


def _softmax(t: Tracer, site: Site, x: Activation, dim: int, dtype: Any = None) -> Activation:
    if dim not in (-1, len(site.shape) - 1) or len(site.shape) < 2:
        raise IllegalModel(f"{site.path}: softmax is over the last axis, behind the batch, got {dim}; transpose before")
    return t.emit(site.local("softmax"), Softmax(), t.real(x))


def _gelu(t: Tracer, site: Site, x: Activation, approximate: str = "none") -> Activation:
    op = GeluTanh() if approximate == "tanh" else Gelu()
    return t.emit(site.local("gelu"), op, t.real(x))


def _sigmoid(t: Tracer, site: Site, x: Activation) -> Activation:
    return t.emit(site.local("sigmoid"), Sigmoid(), t.real(x))


def _silu(t: Tracer, site: Site, x: Activation) -> Activation:
    return t.emit(site.local("silu"), Silu(), t.real(x))


def _relu(t: Tracer, site: Site, x: Activation) -> Activation:
    return t.emit(site.local("relu"), Relu(), t.operand(x, site.path), quantized=x.quantized)


def _hardtanh(t: Tracer, site: Site, x: Activation, least: float = -1.0, most: float = 1.0) -> Activation:
    return t.emit(site.local("clip"), Clip(float(least), float(most)), t.real(x))


def _relu6(t: Tracer, site: Site, x: Activation) -> Activation:
    return _hardtanh(t, site, x, 0, 6)


def _hardsigmoid(t: Tracer, site: Site, x: Activation) -> Activation:
    """min(max(x + 3, 0), 6) / 6."""
    return _sixth(t, site, _clipped(t, site, x))


def _hardswish(t: Tracer, site: Site, x: Activation) -> Activation:
    """x times its hardsigmoid, divided last, as torch does."""
    return _sixth(t, site, t.emit(site.local("mul"), Mul(), t.real(x), _clipped(t, site, x).name))


def _clipped(t: Tracer, site: Site, x: Activation) -> Activation:
    name = site.local("add")
    return _relu6(t, site, t.emit(name, Add(), t.real(x), t.real(as_value(3), f"{name}.value")))


def _sixth(t: Tracer, site: Site, x: Activation) -> Activation:
    name = site.local("div")
    return t.emit(name, Div(), x.name, t.real(as_value(6), f"{name}.value"))


RULES: dict[str, Rule] = {
    "aten.hardtanh": _hardtanh,
    "aten.relu6": _relu6,
    "aten.hardsigmoid": _hardsigmoid,
    "aten.hardswish": _hardswish,
    "aten.relu": _relu,
    "aten.softmax": _softmax,
    "aten.gelu": _gelu,
    "aten.sigmoid": _sigmoid,
    "aten.silu": _silu,
}
