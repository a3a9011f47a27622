"""LSQ+ baseline (Bhalgat et al., arXiv 2004.09576): learned scales, and learned zero points of activations.

LSQ's training and distillation, so that only the grid of the activations differs: asymmetric, per_tensor, with an integer
zero point where the paper's offset is real (`qmodels/quantizers/lsq_plus.py`); weights and softmax output symmetric.
"""

from dataclasses import replace

from qmodels.method import Slot
from qmodels.methods.lsq import LSQ

LSQ_PLUS = replace(
    LSQ,
    name="lsq_plus",
    inputs=Slot("lsq_plus", signed=False),
    qkv=Slot("lsq_plus", signed=False),
    deviations="methods/baselines.md",
)
