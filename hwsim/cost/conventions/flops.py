"""flops: floating-point operations of products, two per MAC. Total = 2 x sum of batch x M x K x N.

Source: PyTorch's torch.utils.flop_counter (FlopCounterMode), which counts products and nothing else. Status: printed.
DeiT-S 9,197,764,608.
"""

from dataclasses import dataclass

from hwsim.cost.operations import Operations
from hwsim.op import Gemm


@dataclass(frozen=True, slots=True, kw_only=True)
class Flops(Operations):
    """A multiplication and an addition per MAC."""

    flops_per_mac: int = 2

    unit = "FLOP"
    status = "printed"

    def product(self, gemm: Gemm) -> float:
        """Its MACs, an integer."""
        return gemm.macs
