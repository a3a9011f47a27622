"""NoisyQuant on PTQ4ViT: the noise of `noisyquant` on the grids of `ptq4vit`, as the paper has it beside its plain form.

Layers behind GELU have two ranges, and no noise. docs/methods/noisyquant.md says what departs from paper and code.
"""

from dataclasses import replace

from qmodels.method import Slot
from qmodels.methods.ptq4vit import PTQ4VIT
from qmodels.steps.noise import Noise

NOISYQUANT_PTQ4VIT = replace(
    PTQ4VIT,
    name="noisyquant_ptq4vit",
    inputs=Slot("noisy", signed=True),
    biases=True,
    stages=((*PTQ4VIT.stages[0], Noise(metric="fisher", stream="float")),),
    deviations="methods/noisyquant.md",
)
