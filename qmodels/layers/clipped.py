"""Clipped: an activation function whose result is clipped to [-limit, limit], as Q-ViT's code does behind GELU.

It stands where the function stood and has no parameters, so that the names of a model's tensors stay.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class Clipped(nn.Module):
    """min(max(function(x), -limit), limit)."""

    def __init__(self, function: nn.Module, limit: float) -> None:
        super().__init__()
        self.function, self.limit = function, limit

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        return F.hardtanh(self.function(x), -self.limit, self.limit)

    def extra_repr(self) -> str:
        """The limit, for print(model)."""
        return f"limit={self.limit:g}"
