"""QuantMatMul: the product of two activations, a (..., M, K) and b (..., K, N), each through its quantizer.

A module of its own, so that the products of attention have module paths (`blocks.0.attn.qk`, `blocks.0.attn.av`).
"""

import torch
from torch import Tensor, nn

from hwsim.errors import IllegalModel


class QuantMatMul(nn.Module):
    """a_quantizer(a) @ b_quantizer(b)."""

    def __init__(self, a_quantizer: nn.Module, b_quantizer: nn.Module) -> None:
        super().__init__()
        if any(getattr(quantizer, "offset", None) is not None for quantizer in (a_quantizer, b_quantizer)):
            raise IllegalModel(
                "matmul: an operand's offset must be an integer zero point, got a real one; use lsq_plus, or lsq"
            )
        self.a_quantizer, self.b_quantizer = a_quantizer, b_quantizer

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(..., M, K) and (..., K, N) to (..., M, N)."""
        return torch.matmul(self.a_quantizer(a), self.b_quantizer(b))
