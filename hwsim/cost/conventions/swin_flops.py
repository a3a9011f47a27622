"""swin_flops: MACs plus 1 per LayerNorm element, as Swin's released `flops()` counts.

Total = sum MAC + sum over LayerNorms of their elements; patch merging's norm as H x W x C of its input; the last norm as
features x H0 W0 / 2**stages, with the patch grid H0 x W0 (four times its true size in Swin-T). 1 FLOP = 1 MAC.
Source: github.com/microsoft/Swin-Transformer, models/swin_transformer.py. The first author of Q-ViT says that its
full-precision FLOPs are counted so (repository issue 8). Status: printed. Swin-T 4.49441 G, Swin-S 8.74652 G, DeiT-S
4.60077 G. Q-ViT's norms on q and k are not counted: the float model has none.
"""

from dataclasses import dataclass

from hwsim.cost.elementwise import SWIN, Elementwise
from hwsim.cost.operations import Operations
from hwsim.op import Gemm


@dataclass(frozen=True, slots=True, kw_only=True)
class SwinFlops(Operations):
    """MACs and the elementwise work that `elementwise` weighs."""

    elementwise: Elementwise = SWIN

    unit = "FLOP"
    status = "printed"

    def product(self, gemm: Gemm) -> float:
        """Its MACs, an integer."""
        return gemm.macs
