"""What all quantizers share: a learned scale on an integer range, and the face that layers and the tracer rely on.

A quantizer is an nn.Module with `bits`, `qmin`, `qmax`, `axis` (None: per_tensor; else one scale per index of that
axis, -1 being the last), `scale` and `zero_point` of shape (size,), and `calibrated`, a Python bool. `forward` never
branches on data, so that torch.export sees it as one `hwsim::` node. The scale used is max(|scale|, SCALE_FLOOR), a
function of the parameter alone: positive whatever the optimiser does, and a constant in an exported graph.

LSQ's gradient factor is 1 / sqrt(n qmax) (arXiv 1902.08153, section 2.2) with n the elements that share a scale: per
sample for activations (the loss is a mean over the batch), all for weights. In eval mode the factor is 1, so that an
exported graph does not depend on it.
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from hwsim import catalog

SCALE_FLOOR = 1e-8


class Quantizer(nn.Module, ABC):
    """The base of the catalogue `qmodels.quantizers`; `batched` says that axis 0 of the input counts samples."""

    zero_point: Tensor

    def __init__(self, bits: int, qmin: int, qmax: int, *, axis: int | None, size: int, batched: bool) -> None:
        super().__init__()
        if not 1 <= bits <= 8:
            raise ValueError(f"quantizer: bits must be 1..8, got {bits}; use nn.Identity for float")
        if axis is None and size != 1:
            raise ValueError(f"quantizer: size must be 1 without an axis, got {size}; give the axis")
        self.bits, self.qmin, self.qmax, self.axis, self.batched = bits, qmin, qmax, axis, batched
        self.calibrated = False
        self.scale = nn.Parameter(torch.ones(size))

    def positive_scale(self) -> Tensor:
        """The scale in use, shape (size,), at least SCALE_FLOOR."""
        return self.scale.abs().clamp(min=SCALE_FLOOR)

    def grad_factor(self, x: Tensor) -> float:
        """1 / sqrt(elements per scale * qmax) while training, else 1."""
        if not self.training:
            return 1.0
        shape = x.shape[1:] if self.batched else x.shape
        return 1.0 / math.sqrt(math.prod(shape) / self.scale.numel() * self.qmax)

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


def make(
    name: str, bits: int, *, signed: bool, axis: int | None = None, size: int = 1, batched: bool = True
) -> nn.Module:
    """The quantizer `name` of the catalogue at `bits`; nn.Identity at 32 bits; `binary` for 1-bit signed `lsq`."""
    if bits == 32:
        return nn.Identity()
    if bits == 1 and signed and name == "lsq":
        name = "binary"
    found = catalog.find("qmodels.quantizers", name, "quantizer")
    return found(bits, signed=signed, axis=axis, size=size, batched=batched)
