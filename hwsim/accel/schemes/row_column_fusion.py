"""row_column_fusion: floor(max/max(a,min)) operands along M and floor(max/max(w,min)) along N per PE and cycle.

The PE is a square of small multipliers as in `spatial_fusion`, but its products belong to different sums: narrow
activations make the array higher, narrow weights make it wider. Source: ANT (Guo et al., MICRO 2022, arXiv 2208.14286),
whose PEs of 4 bits work two by two at 8 bits; its simulator (a fork of Bit Fusion's) multiplies the rows by 8/a and the
columns by 8/w.
"""

from hwsim.accel.scheme import Operand, Packing
from hwsim.accel.schemes._fusion import Fusion
from hwsim.accel.schemes._widths import Width


class RowColumnFusion(Fusion):
    """PEs that split along rows and columns."""

    min_bits: Width = 4

    def pack(self, a: Operand, b: Operand) -> Packing:
        """Activations side by side along M, weights along N."""
        return Packing(self.side_by_side(a), 1, self.side_by_side(b), self.passes(a, b))
