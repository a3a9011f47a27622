"""Post-training quantization: `calibrate` takes a float model and some images, and leaves a checkpoint.

A method's `stages` say what happens (`qmodels.step`, `qmodels/steps/`); here is what carries it out: where a model is cut
(`cut`), how a part of it runs (`partial`), what lies between the parts (`stream`), what a step is given (`unit`, `site`).
"""

from qmodels.ptq.engine import Outcome, Progress, calibrate

__all__ = ["Outcome", "Progress", "calibrate"]
