"""MSE: the range of least squared error among fractions of what was seen (OMSE, arXiv 1902.06822; `qmodels.clipping`).

Symmetric codes: 20 fractions of max|x|. Asymmetric ones: fractions of the minimum and of the maximum apart, 9 by 15. It is
what a Uniform finds by itself.
"""

from dataclasses import dataclass

from torch import Tensor

from qmodels.clipping import Grids
from qmodels.quantizers.uniform import Uniform
from qmodels.search import Search


@dataclass(frozen=True, slots=True)
class Mse(Search):
    """The fractions are fixed."""

    def candidates(self, rows: Tensor, quantizer: Uniform) -> Grids:
        """One grid per fraction."""
        return quantizer.grids(rows.amin(1, keepdim=True).clamp(max=0), rows.amax(1, keepdim=True).clamp(min=0))
