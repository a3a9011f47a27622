"""From a speedup on paper to that of a machine: the ratio of two estimates, taking in one part of their cycles after another.

The first step is the ratio of the useful cycles: what the precision scheme alone makes of the widths. Each further step
adds a part to both sides, up to all cycles, whose ratio is the machine's speedup.
"""

import numpy as np

from hwsim.accel.compute import Reals
from hwsim.accel.estimate import PARTS, Estimate


def speedups(estimate: Estimate, baseline: Estimate) -> dict[str, Reals]:
    """By the name of the part that is taken in last: cycles of `baseline` over those of `estimate`, parts up to it."""
    steps, above, below = {}, np.asarray(0.0), np.asarray(0.0)
    for part in PARTS:
        above, below = above + baseline.parts[part], below + estimate.parts[part]
        steps[part] = above / below
    return steps
