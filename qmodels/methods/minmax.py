"""Min-max baseline (Jacob et al., arXiv 1712.05877): straight-through training on running ranges, no scale is learned.

LSQ's loss and distillation; the grids are those of `qmodels/quantizers/minmax.py`. Weights per output channel, as
everywhere here; the paper has one range per weight tensor.
"""

from dataclasses import replace

from qmodels.method import Slot
from qmodels.methods.lsq import LSQ

MINMAX = replace(
    LSQ,
    name="minmax",
    weights=Slot("minmax", signed=True),
    inputs=Slot("minmax", signed=False),
    qkv=Slot("minmax", signed=False),
    softmax=Slot("minmax", signed=False),
    deviations="methods/baselines.md",
)
