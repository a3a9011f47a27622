"""Min-max: the grid spans all that was seen (Jacob et al., arXiv 1712.05877, section 3.1)."""

from dataclasses import dataclass

from torch import Tensor

from qmodels.clipping import Grids
from qmodels.quantizers.uniform import Uniform
from qmodels.search import Search, spanning


@dataclass(frozen=True, slots=True)
class MinMax(Search):
    """Nothing is clipped."""

    def candidates(self, rows: Tensor, quantizer: Uniform) -> Grids:
        """The one of the whole range."""
        return [spanning(rows.amin(1, keepdim=True), rows.amax(1, keepdim=True), quantizer)]
