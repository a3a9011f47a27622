"""Min-max baseline of post-training quantization: every grid spans all that was seen (arXiv 1712.05877, section 3.1).

Weights symmetric per output channel, activations per tensor with an integer zero point, both operands of each attention
product among them, first and last layer at 8 bits. The other baselines differ in the search alone.
"""

from qmodels.method import Method, Slot
from qmodels.searches.minmax import MinMax
from qmodels.steps.ranges import Ranges

PTQ_MINMAX = Method(
    name="ptq_minmax",
    weights=Slot("uniform", signed=True),
    inputs=Slot("uniform", signed=False),
    qkv=Slot("uniform", signed=False),
    softmax=Slot("uniform", signed=False),
    stages=((Ranges(MinMax(), MinMax()),),),
    deviations="methods/ptq_baselines.md",
)
