"""What all quantizers share: a learned scale on an integer range, and the face that layers and the tracer rely on.

A quantizer is an nn.Module with `bits`, `qmin`, `qmax`, `axis` (None: per_tensor; else one scale per index of that
axis, -1 being the last), `scale` and `zero_point` of shape (size,), and `calibrated`, a Python bool. Of `lsq` and `binary`
the size may be a divisor of the axis: equally many neighbours share a scale (q, k and v of one weight: size 3). `forward`
never branches on data, so that torch.export sees it as one `hwsim::` node. The scale used is max(|scale|, SCALE_FLOOR), a
function of the parameter alone: positive whatever the optimiser does, and a constant in an exported graph.

LSQ's gradient factor is 1 / sqrt(n qmax) (arXiv 1902.08153, section 2.2) with n the elements that share a scale: per
sample for activations (the loss is a mean over the batch), all for weights. Where `scale_gradient` is `module` it is
1 / sqrt(|w|_1 qmax) instead, the module-dependent factor of VVTQ (arXiv 2307.00331): |w|_1 sums |x| over what shares the
scale (per sample, the mean over the batch), is taken anew at each step, and is a constant to the gradient. In eval mode
the factor is 1, so that an exported graph does not depend on it.

A quantizer may have an `offset`, a learned real number of the shape of the scale: its grid is then
scale * (q - zero_point) + offset, `forward` and `codes` round x - offset, and what `forward` returns lacks the offset. The
layer behind adds offset * (sums of its quantized weights) to its bias (`with_offset`), which is the same, and a constant.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hwsim import catalog
from hwsim.accel.layer_bits import WIDEST
from hwsim.errors import HwsimError
from qmodels.fake_quantize import along

SCALE_FLOOR = 1e-8
SCALE_GRADIENTS = ("lsq", "module")
STARTS = ("search", "mean", "fixed_point")
"""How `initialise` finds a scale: see `qmodels.clipping`."""


class _Graded(torch.autograd.Function):
    """A parameter as it is, whose gradient is multiplied by a factor; one that is a tensor stays on its device."""

    @staticmethod
    def forward(ctx: Any, parameter: Tensor, factor: Tensor | float) -> Tensor:
        ctx.factor = factor
        return parameter.view_as(parameter)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad * ctx.factor, None


class Quantizer(nn.Module, ABC):
    """The base of the catalogue `qmodels.quantizers`; `batched` says that axis 0 of the input counts samples."""

    zero_point: Tensor
    offset: nn.Parameter | None
    scale_gradient = "lsq"
    start = "search"
    channelled = False
    """Whether it has something of its own for each input channel, and takes their number as `channels`."""
    most = WIDEST
    """Bits of its widest codes."""
    padded = ""
    """What stands in its place where a layer pads zeros, if it cannot stand there."""

    def __init__(self, bits: int, qmin: int, qmax: int, *, axis: int | None, size: int, batched: bool) -> None:
        super().__init__()
        if not 1 <= bits <= WIDEST:
            raise ValueError(f"quantizer: bits must be 1..{WIDEST}, got {bits}; use nn.Identity for float")
        if axis is None and size != 1:
            raise ValueError(f"quantizer: size must be 1 without an axis, got {size}; give the axis")
        self.bits, self.qmin, self.qmax, self.axis, self.batched = bits, qmin, qmax, axis, batched
        self.calibrated = False
        self.windows = 1
        """Samples of its input that are one image: Swin's attentions see windows. `calibrate` sets it."""
        self.scale = nn.Parameter(torch.ones(size))
        self.register_parameter("offset", None)

    def positive_scale(self) -> Tensor:
        """The scale in use, shape (size,), at least SCALE_FLOOR."""
        return self.scale.abs().clamp(min=SCALE_FLOOR)

    def graded(self, parameter: Tensor, x: Tensor) -> Tensor:
        """`parameter` for quantizing `x`, with the factor on its gradient while training."""
        if not self.training:
            return parameter
        return _Graded.apply(parameter, self.grad_factor(x) if self.scale_gradient == "lsq" else self._module_factor(x))

    def half_graded(self, parameter: Tensor, x: Tensor) -> Tensor:
        """The same but for what `grad_factor` gives, which is for the operators that take that."""
        return parameter if self.scale_gradient == "lsq" else self.graded(parameter, x)

    def graded_offset(self, x: Tensor) -> Tensor | None:
        """The offset for quantizing `x`, None where there is none."""
        return None if self.offset is None else self.graded(self.offset, x)

    @torch.no_grad()
    def _module_factor(self, x: Tensor) -> Tensor:
        """1 / sqrt(|x|_1 qmax), shape (size,)."""
        sums = self.sharing(x).abs().sum(1)
        return (sums / (len(x) / self.windows if self.batched else 1) * self.qmax).clamp(min=SCALE_FLOOR).rsqrt()

    def sharing(self, x: Tensor) -> Tensor:
        """`x` as rows (size, n) of what shares a scale."""
        return (x if self.axis is None else x.movedim(self.axis, 0)).reshape(self.scale.numel(), -1)

    def spread(self, values: Tensor, x: Tensor) -> Tensor:
        """`values` of the shape of the scale, (size,), as one for each index of the axis of `x`."""
        if self.axis is None or values.numel() == x.shape[self.axis]:
            return values
        return values.repeat_interleave(x.shape[self.axis] // values.numel())

    def grad_factor(self, x: Tensor) -> float:
        """1 / sqrt(elements of an image per scale * qmax) while training by `lsq`, else 1."""
        if self.scale_gradient != "lsq" or not self.training:
            return 1.0
        elements = math.prod(x.shape[1:]) * self.windows if self.batched else x.numel()
        return 1.0 / math.sqrt(elements / self.scale.numel() * self.qmax)

    def moved(self, x: Tensor) -> Tensor:
        """`x` less the offset: what is rounded."""
        offset = self.graded_offset(x)
        return x if offset is None else x + along(-offset, x, self.axis)

    @abstractmethod
    def initialise(self, x: Tensor) -> None:
        """Set scale (and zero point) from the tensor `x`."""

    @abstractmethod
    def codes(self, x: Tensor) -> Tensor:
        """The integers q (int32, shape of `x`) that `forward` gives the meaning of."""

    def extra_repr(self) -> str:
        """Bits, range and granularity, for print(model)."""
        where = "per_tensor" if self.axis is None else f"axis={self.axis}"
        return f"bits={self.bits}, [{self.qmin}, {self.qmax}], {where}, size={self.scale.numel()}"


def with_offset(bias: Tensor | None, quantizer: nn.Module, x: Tensor, weight: Tensor) -> Tensor | None:
    """The bias (N,) of a layer of the quantized `weight` (N, ...), with what the offset of `x`'s grid gives in it.

    An offset is one number, or one per index of the last axis of `weight`.
    """
    offset = quantizer.graded_offset(x) if isinstance(quantizer, Quantizer) else None
    if offset is None:
        return bias
    moved = (weight * offset).flatten(1).sum(1)
    return moved if bias is None else bias + moved


def make(
    name: str,
    bits: int,
    *,
    signed: bool,
    axis: int | None = None,
    size: int = 1,
    batched: bool = True,
    scale_gradient: str = "lsq",
    start: str = "search",
    channels: int = 1,
    pads: bool = False,
) -> nn.Module:
    """The quantizer `name` of the catalogue at `bits`; nn.Identity at 32 bits; `binary` for 1-bit signed `lsq`.

    channels: how many the last axis of its input has, for those that are `channelled`. pads: whether the layer behind it puts
    zeros around its input.
    """
    for key, value, known in (("scale_gradient", scale_gradient, SCALE_GRADIENTS), ("start", start, STARTS)):
        if value not in known:
            raise ValueError(f"quantizer: {key} must be one of {', '.join(known)}, got {value!r}; choose one")
    if bits == 32:
        return nn.Identity()
    if bits == 1 and signed and name == "lsq":
        name = "binary"
    found = catalog.find("qmodels.quantizers", name, "quantizer")
    if pads and found.padded:
        found = catalog.find("qmodels.quantizers", found.padded, "quantizer")
    own = {"channels": channels} if found.channelled else {}
    quantizer = found(bits, signed=signed, axis=axis, size=size, batched=batched, **own)
    quantizer.scale_gradient, quantizer.start = scale_gradient, start
    return quantizer


@contextmanager
def named(path: str) -> Iterator[None]:
    """What cannot be made in here is said as an HwsimError that names the module at `path`."""
    try:
        yield
    except HwsimError as error:
        raise type(error)(f"{path}: {error}") from None
    except ValueError as error:
        raise HwsimError(f"{path}: {error}") from None
