"""Rules of pooling: what makes one value of several positions."""

from collections.abc import Sequence
from typing import Any

from hwsim.errors import IllegalModel
from hwsim.ops.avgpool2d import AvgPool2d
from hwsim.ops.maxpool2d import MaxPool2d
from hwsim.ops.mean import Mean
from qmodels.tracer import Activation, Rule, Site, Tracer, pair


def _mean(
    t: Tracer, site: Site, x: Activation, dim: Sequence[int], keepdim: bool = False, dtype: Any = None
) -> Activation:
    rank = len(site.shape) + (0 if keepdim else len(dim))
    return t.emit(site.local("mean"), Mean(tuple(sorted(d % rank for d in dim)), keepdim), t.real(x))


def _adaptive_avg_pool2d(t: Tracer, site: Site, x: Activation, size: Sequence[int]) -> Activation:
    if tuple(size) != (1, 1):
        raise IllegalModel(f"{site.path}: adaptive pooling is to 1 x 1, got {list(size)}; use avg_pool2d")
    return t.emit(site.local("mean"), Mean((2, 3), keep=True), t.real(x))


def _max_pool2d(
    t: Tracer,
    site: Site,
    x: Activation,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    ceil: bool = False,
) -> Activation:
    op = MaxPool2d(pair(kernel), pair(stride or kernel), pair(padding), pair(dilation), ceil)
    return t.emit(site.local("maxpool2d"), op, t.operand(x, site.path), quantized=x.quantized)


def _avg_pool2d(
    t: Tracer,
    site: Site,
    x: Activation,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    ceil: bool = False,
    count_padding: bool = True,
    divisor: int | None = None,
) -> Activation:
    if divisor is not None:
        raise IllegalModel(
            f"{site.path}: a mean is divided by what it is of, got a divisor of {divisor}; scale behind it"
        )
    op = AvgPool2d(pair(kernel), pair(stride or kernel), pair(padding), ceil, count_padding)
    return t.emit(site.local("avgpool2d"), op, t.real(x))


RULES: dict[str, Rule] = {
    "aten.mean": _mean,
    "aten.adaptive_avg_pool2d": _adaptive_avg_pool2d,
    "aten.max_pool2d": _max_pool2d,
    "aten.avg_pool2d": _avg_pool2d,
}
