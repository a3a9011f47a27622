"""QuantWindowAttention: timm's Swin WindowAttention with both products as QuantMatMul.

As QuantAttention, on windows x (B * windows, N, C), with the relative position bias (1, H, N, N) and, in shifted
blocks, the mask (windows, N, N) added to the scores in float. The bias table keeps its name,
`relative_position_bias_table`.
"""

import torch
from torch import Tensor, nn

from qmodels import torchvision_shim  # noqa: F401 - before timm

# isort: split
from timm.models.swin_transformer import WindowAttention


class QuantWindowAttention(nn.Module):
    """Takes over the submodules of `attention` (its linears already quantized) and adds the products `qk` and `av`."""

    relative_position_index: Tensor

    def __init__(
        self,
        attention: WindowAttention,
        qk: nn.Module,
        av: nn.Module,
        q_norm: nn.Module | None,
        k_norm: nn.Module | None,
    ) -> None:
        super().__init__()
        self.num_heads, self.scale, self.window_area = attention.num_heads, attention.scale, attention.window_area
        self.relative_position_bias_table = attention.relative_position_bias_table
        self.register_buffer("relative_position_index", attention.relative_position_index, persistent=False)
        self.qkv = attention.qkv
        self.q_norm, self.k_norm = q_norm or nn.Identity(), k_norm or nn.Identity()
        self.qk, self.av = qk, av
        self.attn_drop = attention.attn_drop
        self.proj, self.proj_drop = attention.proj, attention.proj_drop

    def bias(self) -> Tensor:
        """The relative position bias (1, H, N, N)."""
        rows = self.relative_position_bias_table[self.relative_position_index.view(-1)]  # (N N, H)
        return rows.view(self.window_area, self.window_area, -1).permute(2, 0, 1).contiguous().unsqueeze(0)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B * windows, N, C) to the same shape."""
        batch, tokens, _ = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)  # each (B * windows, H, N, D)
        q, k = self.q_norm(q), self.k_norm(k)
        scores = self.qk(q, k.transpose(-2, -1)) * self.scale + self.bias()  # (B * windows, H, N, N)
        if mask is not None:
            windows = mask.shape[0]
            scores = scores.view(-1, windows, self.num_heads, tokens, tokens) + mask.unsqueeze(1).unsqueeze(0)
            scores = scores.view(-1, self.num_heads, tokens, tokens)
        x = self.av(self.attn_drop(torch.softmax(scores, dim=-1)), v)  # (B * windows, H, N, D)
        x = x.transpose(1, 2).reshape(batch, tokens, -1)
        return self.proj_drop(self.proj(x))
