"""RepQ-ViT (Li et al., ICCV 2023, arXiv 2212.08254): what calibrates well first, then its exact form for hardware.

Two tensors are quantized as suits them, and then rewritten. What leaves a LayerNorm gets a scale per channel, which becomes
one scale, exactly, while the weights behind are float (`channelwise`, `reparametrize`). What leaves softmax gets powers of
the square root of two, which are powers of two and a factor (`logsqrt2`). Weights are asymmetric, one grid per output
channel. All ranges end at the best of three quantiles. Without training, from 32 images, unit by unit.
docs/methods/repqvit.md says what departs from paper and code.
"""

from qmodels.method import Method, Slot
from qmodels.searches.percentile import Percentile
from qmodels.steps.channelwise import Channelwise
from qmodels.steps.ranges import Ranges
from qmodels.steps.reparametrize import Reparametrize

QUANTILES = (0.999, 0.9999, 0.99999)  # of weights and activations alike, in the released code
_SEARCH = Percentile(weights=QUANTILES, activations=QUANTILES)

REPQVIT = Method(
    name="repqvit",
    weights=Slot("uniform", signed=False),
    inputs=Slot("uniform", signed=False),
    qkv=Slot("uniform", signed=False),
    softmax=Slot("logsqrt2", signed=False),
    biases=True,
    stages=((Channelwise(), Ranges(_SEARCH), Reparametrize(), Ranges(weights=_SEARCH)),),
    deviations="methods/repqvit.md",
)
