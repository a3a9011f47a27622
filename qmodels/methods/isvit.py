"""I&S-ViT (Zhong et al., arXiv 2311.10126): a softmax grid that is a shift, and three stages that tune the weights.

Softmax goes to the exponents of a shifted logarithm (`sulq`). The stages, each over all units: with float weights and a scale
per channel behind LayerNorm, the units are tuned to the float model; the scales become one per layer, exactly, into float
weights; weights are quantized, and the units are tuned again, on what the quantized model gives them.
docs/methods/isvit.md says what departs from paper and code.
"""

from qmodels.method import Method, Slot
from qmodels.searches.percentile import WEIGHTS, Percentile
from qmodels.steps.channelwise import Channelwise
from qmodels.steps.ranges import Ranges
from qmodels.steps.reconstruct import Reconstruct
from qmodels.steps.reparametrize import Reparametrize

_SEARCH = Percentile(weights=WEIGHTS, activations=(0.999, 0.9999, 0.99999))  # the lists of the released code

ISVIT = Method(
    name="isvit",
    weights=Slot("uniform", signed=False),
    inputs=Slot("uniform", signed=False),
    qkv=Slot("uniform", signed=False),
    softmax=Slot("sulq", signed=False),
    biases=True,
    stages=(
        (Channelwise(), Ranges(_SEARCH), Reconstruct(stream="float")),
        (Reparametrize(),),
        (Ranges(weights=_SEARCH), Reconstruct(stream="quantized")),
    ),
    deviations="methods/isvit.md",
)
