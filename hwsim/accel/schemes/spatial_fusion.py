"""spatial_fusion: floor(max/max(a,min)) floor(max/max(w,min)) MACs per PE and cycle, along K.

A PE is a square of small multipliers that fuse into one wide, or compute several narrow products and add them up. Widths
between two steps run as the wider: with 8 and 2 bits, 3 run as 4, and 5 to 7 as 8. Wider integers than `max_bits` take
passes. Source: Bit Fusion (Sharma et al., ISCA 2018, arXiv 1712.01507), with 16 multipliers of 2 bits; its simulator
(github.com/hsharma35/bitfusion) counts the products along K.
"""

from hwsim.accel.scheme import Operand, Packing
from hwsim.accel.schemes._fusion import Fusion
from hwsim.accel.schemes._widths import Width


class SpatialFusion(Fusion):
    """PEs that split along the reduction."""

    min_bits: Width = 2

    def pack(self, a: Operand, b: Operand) -> Packing:
        """All products of a PE belong to one sum."""
        return Packing(1, self.side_by_side(a) * self.side_by_side(b), 1, self.passes(a, b))
