"""Rules of the normalizations: float islands.

A batch norm that is still there (see `qmodels.batch_norm`) is a Mul and an Add of constants per channel.
"""

from collections.abc import Sequence
from typing import Any

import torch

from hwsim.errors import IllegalModel
from hwsim.ops.add import Add
from hwsim.ops.groupnorm import GroupNorm
from hwsim.ops.layernorm import LayerNorm
from hwsim.ops.mul import Mul
from hwsim.ops.reducel2 import ReduceL2
from hwsim.ops.rmsnorm import RmsNorm
from qmodels.tracer import Activation, Constant, Rule, Site, Tracer


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
    return t.emit(site.path, LayerNorm(eps), t.real(x), *_affine(t, site, weight, bias, normalized_shape[0]))


def _group_norm(
    t: Tracer,
    site: Site,
    x: Activation,
    num_groups: int,
    weight: Constant | None = None,
    bias: Constant | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Activation:
    return t.emit(site.path, GroupNorm(num_groups, eps), t.real(x), *_affine(t, site, weight, bias, site.shape[1]))


def _affine(t: Tracer, site: Site, weight: Constant | None, bias: Constant | None, size: int) -> tuple[str, str]:
    """The names of a norm's gain and shift."""
    return t.learned(weight, f"{site.path}.weight", size, 1.0), t.learned(bias, f"{site.path}.bias", size, 0.0)


def _batch_norm(
    t: Tracer,
    site: Site,
    x: Activation,
    weight: Constant | None,
    bias: Constant | None,
    mean: Constant | None,
    variance: Constant | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> Activation:
    if training or mean is None or variance is None:
        raise IllegalModel(f"{site.path}: batch norm takes running statistics, got those of the batch; track them")
    ratio = (variance.tensor.double() + eps).rsqrt()
    ratio = ratio if weight is None else ratio * weight.tensor
    shift = -mean.tensor * ratio
    shift = shift if bias is None else shift + bias.tensor
    along = (-1, *(1,) * (len(site.shape) - 2))
    gains, shifts = (Constant(values.reshape(along), site.path) for values in (ratio, shift))
    scaled = t.emit(site.path, Mul(), t.real(x), t.real(gains, f"{site.path}.weight"))
    return t.emit(f"{site.path}.bias", Add(), scaled.name, t.real(shifts, f"{site.path}.bias.value"))


def _rms_norm(
    t: Tracer,
    site: Site,
    x: Activation,
    normalized_shape: Sequence[int],
    weight: Constant | None = None,
    eps: float | None = None,
) -> Activation:
    if len(normalized_shape) != 1:
        raise IllegalModel(f"{site.path}: rmsnorm is over the last axis, got {list(normalized_shape)}; reshape before")
    gain = t.learned(weight, f"{site.path}.weight", normalized_shape[0], 1.0)
    op = RmsNorm(torch.finfo(torch.float64).eps if eps is None else eps)
    return t.emit(site.local("rmsnorm"), op, t.real(x), gain)


def _vector_norm(
    t: Tracer,
    site: Site,
    x: Activation,
    order: float = 2,
    dim: Sequence[int] | None = None,
    keepdim: bool = False,
    dtype: Any = None,
) -> Activation:
    last = dim is not None and [d % len(site.shape) for d in dim] == [len(site.shape) - 1]
    if order != 2 or not last or not keepdim:
        raise IllegalModel(
            f"{site.path}: a length is the Euclidean one of the last axis, which stays, got order {order:g} of {dim}; "
            "transpose before"
        )
    return t.emit(site.local("reducel2"), ReduceL2(), t.real(x))


RULES: dict[str, Rule] = {
    "aten.batch_norm": _batch_norm,
    "aten.group_norm": _group_norm,
    "aten.layer_norm": _layer_norm,
    "aten.rms_norm": _rms_norm,
    "aten.linalg_vector_norm": _vector_norm,
}
