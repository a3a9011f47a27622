"""Training from nothing to a checkpoint: float, or quantization-aware from a float teacher.

`train` is the face; `engine` is the loop, and every other file is one thing that it stands on: `settings` (what `--set`
changes) and `checks` (what cannot be), `start` (the models before the first step), `stored_crops`, `feed` (images in their
order), `optimizer`, `parallel` (several processes), `state` (going on after a kill), `watch` (what went wrong, and where),
`validation`, `log`, `observer`.
"""

from qmodels.training.engine import train
from qmodels.training.metrics import Metrics, Progress
from qmodels.training.observer import Moment, Observer

__all__ = ["Metrics", "Moment", "Observer", "Progress", "train"]
