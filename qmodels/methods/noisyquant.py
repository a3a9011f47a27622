"""NoisyQuant (Liu et al., CVPR 2023, arXiv 2211.16056): fixed noise before a layer's rounding, taken off behind.

Grids first: symmetric, per output channel of weights and per tensor of activations, by the least squared error of outputs.
Then each linear layer's input gets noise with one number per channel, if that brings its output nearer to the float one
(`noise`). It costs nothing behind a LayerNorm, and an addition per value elsewhere. `noisyquant_ptq4vit` does the same on the
grids of PTQ4ViT. docs/methods/noisyquant.md says what departs from paper and code.

deployable  uniform noise, as printed
paper       the same
released    normal noise of mean -1 and deviation 2 before it is scaled, and a constant that is searched first
"""

from dataclasses import replace

from qmodels.method import Method, Slot
from qmodels.steps.noise import Noise
from qmodels.steps.output_search import OutputSearch

_GRIDS = OutputSearch(metric="squared", low=0.01, high=1.0)

NOISYQUANT = Method(
    name="noisyquant",
    weights=Slot("uniform", signed=True),
    inputs=Slot("noisy", signed=True),
    qkv=Slot("uniform", signed=True),
    softmax=Slot("uniform", signed=False),
    biases=True,
    stages=((_GRIDS, Noise()),),
    deviations="methods/noisyquant.md",
)
PRESETS = {
    "deployable": NOISYQUANT,
    "paper": replace(NOISYQUANT, name="noisyquant_paper", preset="paper"),
    "released": replace(
        NOISYQUANT,
        name="noisyquant_released",
        preset="released",
        stages=((_GRIDS, Noise(shape="normal", means=400, candidates=200)),),
    ),
}
