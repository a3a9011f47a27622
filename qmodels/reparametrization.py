"""One scale for all input channels of a layer in place of one for each, without another code: the map, and where it goes.

No integer product executes a scale along its reduction axis (S3). The layer's input codes are
q_k = clamp(round(x_k / s_k) + z_k). With any target s', z' and

    r1_k = s_k / s',   r2_k = z_k - z',   x'_k = x_k / r1_k + s' r2_k

round(x'_k / s') + z' = round(x_k / s_k) + z_k: the same codes (except where x_k / s_k is a tie and r2_k odd, since ties go
to even), and the layer's output sum_k W_nk s_k (q_k - z_k) + b_n is sum_k W'_nk s' (q_k - z') + b'_n with

    W'_nk = W_nk r1_k,   b'_n = b_n - sum_k W'_nk s' r2_k

Here s' = mean s_k and z' = round(mean z_k). The map from x to x' goes into gain and offset of the LayerNorm that feeds the
layer and nothing else (`qmodels.sources`): both are divided by r1, and s' r2 is added to the offset.

Source: I&S-ViT (arXiv 2311.10126), stage 2 of its smooth optimisation, as in RepQ-ViT (arXiv 2212.08254); departs from the
code of both in that z' is an integer, without which there are codes that no integer stands for.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qmodels.layers.quant_conv2d import QuantConv2d
from qmodels.layers.quant_linear import QuantLinear
from qmodels.quantizer import Quantizer

Layer = QuantLinear | QuantConv2d


@dataclass(frozen=True, slots=True, eq=False)
class Map:
    """x' = x / r1 + shift per input channel, each (K,) in float64; r2 is what the zero points move by."""

    r1: Tensor
    r2: Tensor
    shift: Tensor

    @property
    def is_identity(self) -> bool:
        """Whether x' is x."""
        return bool((self.r1 == 1).all()) and not bool(self.r2.any())


@torch.no_grad()
def to_one(old: Quantizer) -> tuple[Quantizer, Map]:
    """A calibrated quantizer of the kind of `old` with one scale, and the map to what it quantizes."""
    scales = old.positive_scale().double()
    zeros = old.zero_point.double().round().clamp(old.qmin, old.qmax)
    new = type(old)(old.bits, signed=old.qmin < 0, batched=old.batched).to(old.scale)
    new.scale.fill_(scales.mean() if scales.min() < scales.max() else scales[0])
    new.zero_point.fill_(zeros.mean().round())
    new.calibrated = True
    scale = new.scale.double()  # as the model's dtype has it
    r2 = zeros - new.zero_point.double()
    return new.train(old.training), Map(scales / scale, r2, scale * r2)


def along_weight(values: Tensor, layer: Layer) -> Tensor:
    """`values` (K,) per input channel in the shape that broadcasts against the weight, (N, K) or (N, K / groups, h, w)."""
    if isinstance(layer, QuantLinear):
        return values
    groups = values.reshape(layer.groups, -1).repeat_interleave(layer.out_channels // layer.groups, 0)
    return groups[:, :, None, None]


@torch.no_grad()
def shift_bias(layer: Layer, shift: Tensor, weight: Tensor) -> None:
    """Take off the bias what `shift` (K,) of the input adds to the output through `weight`; make one where there is none."""
    if not shift.any():
        return
    moved = (weight.double() * along_weight(shift, layer)).flatten(1).sum(1)
    bias = 0.0 if layer.bias is None else layer.bias.double()
    layer.bias = nn.Parameter((bias - moved).to(layer.weight.dtype), layer.weight.requires_grad)


@torch.no_grad()
def into_norm(norm: nn.LayerNorm, found: Map) -> None:
    """Make `norm` give x' in place of x."""
    norm.bias.copy_(norm.bias.double() / found.r1 + found.shift)
    norm.weight.copy_(norm.weight.double() / found.r1)
