"""PACT-style baseline (Choi et al., arXiv 1805.06085): activations with a learned clipping level, weights as LSQ.

LSQ's training and distillation, so that only the rule differs by which activation scales learn
(`qmodels/quantizers/pact.py`). The paper's weights are DoReFa's, on a grid without zero, half a step aside of S1's, which
this simulator does not have; LSQ's stand in for them.
"""

from dataclasses import replace

from qmodels.method import Slot
from qmodels.methods.lsq import LSQ

PACT = replace(
    LSQ,
    name="pact",
    inputs=Slot("pact", signed=True),
    qkv=Slot("pact", signed=True),
    softmax=Slot("pact", signed=False),
    deviations="methods/baselines.md",
)
