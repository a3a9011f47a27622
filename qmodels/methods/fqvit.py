"""FQ-ViT (Lin et al., IJCAI 2022, arXiv 2111.13824): power-of-two factors before LayerNorms, log-int-softmax of 4 bits.

Two presets, which differ in the search of the other grids; docs/methods/fqvit.md says what departs from paper and code.

deployable  least squared error (OMSE, one of the searches of the released code)
released    min-max, its default
"""

from dataclasses import replace

from qmodels.method import Method, Slot
from qmodels.searches.minmax import MinMax
from qmodels.searches.mse import Mse
from qmodels.steps.factors import Factors
from qmodels.steps.ranges import Ranges

FQVIT = Method(
    name="fqvit",
    weights=Slot("uniform", signed=True),
    inputs=Slot("uniform", signed=False),
    qkv=Slot("uniform", signed=False),
    softmax=Slot("lis", signed=False),
    softmax_bits=4,
    norm_inputs=Slot("uniform", signed=False),
    stages=((Factors(), Ranges(Mse(), Mse())),),
    deviations="methods/fqvit.md",
)
PRESETS = {
    "deployable": FQVIT,
    "released": replace(
        FQVIT, name="fqvit_released", preset="released", stages=((Factors(), Ranges(MinMax(), MinMax())),)
    ),
}
