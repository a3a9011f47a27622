"""LSQ baseline: symmetric per_tensor activations, symmetric per_channel weights, soft distillation.

Source: arXiv 1902.08153, carried over to transformers; the attention products are quantized too, which the paper, being
about convolutions, does not treat.
"""

from qmodels.method import Method, Slot

LSQ = Method(
    name="lsq",
    weights=Slot("lsq", signed=True),
    inputs=Slot("lsq", signed=True),
    qkv=Slot("lsq", signed=True),
    softmax=Slot("lsq", signed=False),
    distillation=1.0,
)
