"""PTQ-ViT (Liu et al., NeurIPS 2021, arXiv 2106.14156): intervals by the similarity of outputs, scores by their ranking.

All grids are symmetric, with one scale per tensor (q, k and v have one each). Scales of both operands of a product are
searched by turns for the greatest Pearson correlation of its output with the float one; at attention scores pairs that change
their order, or come too close, count against it. The mean error that is left goes into the biases. Its mixed precision is
`qmodels.allocation`.

Two presets; docs/methods/ptqvit.md says of each what departs from the paper, which has no released code.

deployable  softmax outputs have unsigned codes: twice the resolution, and no other hardware
paper       they have signed codes too
"""

from dataclasses import replace

from qmodels.method import Method, Slot
from qmodels.steps.bias_correction import BiasCorrection
from qmodels.steps.output_search import OutputSearch

PTQVIT = Method(
    name="ptqvit",
    weights=Slot("uniform", signed=True),
    inputs=Slot("uniform", signed=True),
    qkv=Slot("uniform", signed=True),
    softmax=Slot("uniform", signed=False),
    weights_per_tensor=True,
    biases=True,
    stages=((OutputSearch(metric="pearson", gamma=0.1), BiasCorrection()),),
    deviations="methods/ptqvit.md",
)
PRESETS = {
    "deployable": PTQVIT,
    "paper": replace(PTQVIT, name="ptqvit_paper", preset="paper", softmax=Slot("uniform", signed=True)),
}
