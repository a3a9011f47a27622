"""macs: multiply-accumulates, whatever their widths. Total = sum of batch x M x K x N over all products.

Source: common use; equals PyTorch's FlopCounterMode / 2. Module-hook counters (thop, older fvcore) see no products of
two activations: `attention_matmuls=False`. Status: printed. DeiT-S 4,598,882,304, or 4,241,218,560 without QK^T and AV.
"""

from dataclasses import dataclass

from hwsim.cost.operations import Operations
from hwsim.errors import HwsimError
from hwsim.op import Gemm


@dataclass(frozen=True, slots=True, kw_only=True)
class Macs(Operations):
    """One per multiply-accumulate; to count each as two operations is another convention, `flops`."""

    unit = "MAC"
    status = "printed"

    def __post_init__(self) -> None:
        Operations.__post_init__(self)
        if self.flops_per_mac != 1:
            raise HwsimError("macs: flops_per_mac must be 1, got 2; choose flops, which counts two operations per MAC")

    def product(self, gemm: Gemm) -> float:
        """Its MACs, an integer."""
        return gemm.macs
