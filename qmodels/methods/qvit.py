"""Q-ViT (Li et al., NeurIPS 2022, arXiv 2210.06707): LSQ+ activations, IRM on q and k, distillation with DGD.

Three presets; docs/methods/qvit.md says of each what is as printed, what as released, and what departs from both.

deployable  one integer zero point and scale per layer input and per head of q, k, v; IRM as a LayerNorm, DGD, soft labels
paper       real offsets at the layers' inputs, IRM of a whole head, hard labels for one half, DGD
released    (commit ab9580c) one scale and zero point per *input channel*, IRM as a LayerNorm, hard labels for one half, no
            DGD, GELU clipped at 10, scales that start at 2 mean|x| / sqrt(qmax). No integer GEMM executes a scale along its
            reduction axis: tracing refuses it, `--fold-input-scales` mends it.
"""

from dataclasses import replace

from qmodels.method import Method, Slot

QVIT = Method(
    name="qvit",
    weights=Slot("lsq", signed=True),
    inputs=Slot("lsq_plus", signed=False),
    qkv=Slot("lsq_plus", signed=False),
    softmax=Slot("lsq", signed=False),
    per_head=True,
    irm="layernorm",
    distillation=1.0,
    dgd=1.0,
    deviations="methods/qvit.md",
)
_HARD = replace(QVIT, labels=0.5, distillation=0.0, hard_distillation=0.5)
PRESETS = {
    "deployable": QVIT,
    "paper": replace(_HARD, name="qvit_paper", preset="paper", inputs=Slot("lsq_offset", signed=False), irm="affine"),
    "released": replace(
        _HARD,
        name="qvit_released",
        preset="released",
        softmax=Slot("lsq_plus", signed=False),
        per_input_channel=True,
        start="mean",
        weight_start="mean",
        gelu_clip=10.0,
        dgd=0.0,
    ),
}
