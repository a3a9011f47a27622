"""Rules of elementwise arithmetic of two operands, either of which may be a constant or a Python number."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hwsim.errors import IllegalModel
from hwsim.ops.add import Add
from hwsim.ops.clip import Clip
from hwsim.ops.div import Div
from hwsim.ops.mul import Mul
from hwsim.ops.sub import Sub
from qmodels.tracer import Activation, Constant, Rule, Site, Tracer, as_value


def _add(t: Tracer, site: Site, a: Any, b: Any, alpha: int = 1) -> Activation:
    if alpha != 1:
        raise IllegalModel(f"{site.path}: add takes its operands as they are, got alpha {alpha}; scale one before")
    if site.path.endswith("quantizer") and isinstance(b, Constant) and not b.tensor.is_meta and not b.tensor.any():
        return a  # the offset of a quantizer that has none, or whose layers have taken it
    name = site.local("add")
    return t.emit(name, Add(), *(t.real(as_value(v), f"{name}.value") for v in (a, b)))


def _mul(t: Tracer, site: Site, a: Any, b: Any) -> Activation:
    name = site.local("mul")
    return t.emit(name, Mul(), *(t.real(as_value(v), f"{name}.value") for v in (a, b)))


def _div(t: Tracer, site: Site, a: Any, b: Any) -> Activation:
    """By a power of two: the product with its inverse, which is as exact and costs less."""
    if isinstance(b, int | float) and np.frexp(b)[0] == 0.5:
        return _mul(t, site, a, 1.0 / b)
    name = site.local("div")
    return t.emit(name, Div(), *(t.real(as_value(v), f"{name}.value") for v in (a, b)))


def _sub(t: Tracer, site: Site, a: Any, b: Any, alpha: int = 1) -> Activation:
    if alpha != 1:
        raise IllegalModel(f"{site.path}: sub takes its operands as they are, got alpha {alpha}; scale one before")
    name = site.local("sub")
    return t.emit(name, Sub(), *(t.real(as_value(v), f"{name}.value") for v in (a, b)))


def _neg(t: Tracer, site: Site, x: Activation) -> Activation:
    return _mul(t, site, x, -1.0)


def _clamp_min(t: Tracer, site: Site, x: Activation, least: float) -> Activation:
    return t.emit(site.local("clip"), Clip(float(least)), t.real(x))


def _sum(t: Tracer, site: Site, x: Activation | list[Activation], dim: Sequence[int], *_: Any, **__: Any) -> Activation:
    """Of a stack that put the batch off the front: one operand after the other is added."""
    if not isinstance(x, list) or list(dim) != [0]:
        raise IllegalModel(f"{site.path}: a sum is of what was stacked on axis 0, got one over {list(dim)}; use a mean")
    total = x[0]
    for part in x[1:]:
        total = _add(t, site, total, part)
    return total


RULES: dict[str, Rule] = {
    "aten.add": _add,
    "aten.mul": _mul,
    "aten.div": _div,
    "aten.sub": _sub,
    "aten.neg": _neg,
    "aten.clamp_min": _clamp_min,
    "aten.sum": _sum,
}
