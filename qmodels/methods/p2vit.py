"""P2-ViT (Shi et al., 2024, arXiv 2405.19915): every scale is a power of two, so that requantization is a shift.

Two presets; docs/methods/p2vit.md says what departs from paper and code.

deployable  exponents from floor - 1 to floor + 2 are tried, as in the released code
paper       floor and ceil are
"""

from dataclasses import replace

from qmodels.method import Method, Slot
from qmodels.steps.factors import Factors
from qmodels.steps.power_scales import PowerScales
from qmodels.steps.smooth import Smooth

P2VIT = Method(
    name="p2vit",
    weights=Slot("uniform", signed=True),
    inputs=Slot("uniform", signed=True),
    qkv=Slot("uniform", signed=True),
    softmax=Slot("lis", signed=False),
    softmax_bits=4,
    norm_inputs=Slot("uniform", signed=True),
    stages=((Smooth(), Factors(power_of_two=True), PowerScales()),),
    deviations="methods/p2vit.md",
)
PRESETS = {
    "deployable": P2VIT,
    "paper": replace(
        P2VIT,
        name="p2vit_paper",
        preset="paper",
        stages=((Smooth(), Factors(power_of_two=True), PowerScales(low=0, high=1)),),
    ),
}
