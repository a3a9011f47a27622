"""QuantAttention: timm's Attention with both products as QuantMatMul, written out (no fused kernel).

q, k, v = qkv(x); S = q_norm(q) k_norm(k)^T * scale; A = softmax(S); y = proj(A v), x (B, N, C). The 1/sqrt(D) is
applied to the scores, as in Q-ViT; timm applies it to q, which is the same number whenever sqrt(D) is a power of two (D
= 64). `q_norm` and `k_norm` are the float module's own, or Irm.
"""

from torch import Tensor, nn

from hwsim.errors import IllegalModel
from qmodels import torchvision_shim  # noqa: F401 - before timm

# isort: split
from timm.layers import Attention


class QuantAttention(nn.Module):
    """Takes over the submodules of `attention` (its linears already quantized) and adds the products `qk` and `av`."""

    def __init__(
        self, attention: Attention, qk: nn.Module, av: nn.Module, q_norm: nn.Module | None, k_norm: nn.Module | None
    ) -> None:
        super().__init__()
        if attention.gate is not None or not isinstance(attention.norm, nn.Identity):
            raise IllegalModel(
                "attention: a gate or a norm on its output has no quantized form, got one; build without"
            )
        self.num_heads, self.head_dim, self.scale = attention.num_heads, attention.head_dim, attention.scale
        self.qkv = attention.qkv
        self.q_norm = q_norm or attention.q_norm
        self.k_norm = k_norm or attention.k_norm
        self.qk, self.av = qk, av
        self.attn_drop = attention.attn_drop
        self.proj, self.proj_drop = attention.proj, attention.proj_drop

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """(B, N, C) to (B, N, C)."""
        if attn_mask is not None or is_causal:
            raise IllegalModel("attention: masks have no quantized form here, got one; call without attn_mask")
        batch, tokens, _ = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)  # each (B, H, N, D)
        q, k = self.q_norm(q), self.k_norm(k)
        scores = self.qk(q, k.transpose(-2, -1)) * self.scale  # (B, H, N, N)
        x = self.av(self.attn_drop(scores.softmax(dim=-1)), v)  # (B, H, N, D)
        x = x.transpose(1, 2).reshape(batch, tokens, self.num_heads * self.head_dim)
        return self.proj_drop(self.proj(x))
