"""A method says which quantizer goes where, and what its training adds to the loss; `qmodels/methods/` lists them.

`Slot(quantizer, signed)` names an entry of `qmodels/quantizers/`. Weights are always per output channel; linear inputs
are per_tensor unless the method says `per_input_channel`: a scale along the reduction axis is illegal in an integer GEMM,
tracing refuses it, and `qmodels.folding` mends it.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Slot:
    """One place for a quantizer: its catalogue name, and whether its codes are signed."""

    quantizer: str
    signed: bool


@dataclass(frozen=True, slots=True)
class Method:
    """A quantization method: its slots, its attention form, and its loss."""

    name: str
    weights: Slot
    inputs: Slot  # inputs of Linear and Conv2d
    qkv: Slot  # q, k and v in the attention products
    softmax: Slot  # softmax output
    per_input_channel: bool = False  # inputs of Linear and Conv2d: one scale per input channel instead of per tensor
    per_head: bool = False  # q, k, v and softmax output: one scale per head instead of per tensor
    irm: bool = False  # information rectification module before the q and k quantizers
    distillation: float = 0.0  # weight of the KL divergence from the teacher's logits
    dgd: float = 0.0  # weight of distribution guided distillation
