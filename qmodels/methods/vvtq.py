"""VVTQ (Huang et al., Quantization Variation, TMLR 2024, arXiv 2307.00331): what varies in a transformer, and three cures.

MDQ, module-dependent quantization: one weight scale per module, q, k and v apart, whose gradient has the factor
1 / sqrt(|w|_1 qmax). MCKD, multi-crop distillation: a teacher's stored answers to crops, nothing else, no labels and no
teacher at work. OBR, oscillation-aware bin regularization. Activations have one scale per tensor and signed codes, behind
GELU unsigned ones with a real offset, which goes into the bias of the layer behind: all of it is integer-executable.

Three presets; docs/methods/vvtq.md says of each what departs from paper and code.

deployable  scales start where a search finds the least squared error
paper       as deployable: what is printed has no part that an integer GEMM cannot execute, and no start of scales
released    weight scales start at the fixed point of codes and scale, scales of activations at 2 mean|x| / sqrt(qmax)
"""

from dataclasses import replace

from qmodels.method import Method, Slot

VVTQ = Method(
    name="vvtq",
    weights=Slot("lsq", signed=True),
    inputs=Slot("lsq", signed=True),
    qkv=Slot("lsq", signed=True),
    softmax=Slot("lsq", signed=False),
    gelu=Slot("lsq_offset", signed=False),
    weights_per_tensor=True,
    scale_gradient="module",
    labels=0.0,
    crops=4,
    bins=0.01,
    deviations="methods/vvtq.md",
)
PRESETS = {
    "deployable": VVTQ,
    "paper": replace(VVTQ, name="vvtq_paper", preset="paper"),
    "released": replace(VVTQ, name="vvtq_released", preset="released", start="mean", weight_start="fixed_point"),
}
