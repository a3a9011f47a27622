"""Q-ViT as released (commit ab9580c; arXiv 2210.06707 is `qvit`): one scale and offset per *input channel* of each layer.

The inputs of every Linear, and of the patch embedding, have a scale and zero point per input channel, which sits inside
the sum of the product: no integer GEMM executes it, tracing refuses it, `--fold-input-scales` mends it. q, k, v and the
softmax output are per head, weights per output channel, IRM is a LayerNorm on q and k, there is no DGD. Not reproduced
from that code: signed or unsigned codes after the first batch (here unsigned with an integer zero point), its start of
scales and offsets, the clipping to [-10, 10] behind GELU, its training from random weights with hard distillation.
"""

from dataclasses import replace

from qmodels.methods.qvit import QVIT

QVIT_RELEASED = replace(QVIT, name="qvit_released", per_input_channel=True, dgd=0.0)
