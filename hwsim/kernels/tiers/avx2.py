"""Dot products of bytes by 16-bit pairs (AVX2), for operands whose pairs do not saturate: seven bits on either side."""

from hwsim.kernels.simd.instructions import Vpmaddubsw
from hwsim.kernels.simd.product import drive
from hwsim.kernels.simd.tier import SimdTier
from hwsim.kernels.simd.tiles import Tiles


class Avx2(SimdTier):
    """Tiles of 4 x 16 sums."""

    name = "avx2"
    features = (("avx2",),)
    largest_pair = 1 << 15

    def __init__(self) -> None:
        super().__init__(drive(self.name, Tiles(Vpmaddubsw(), height=4, vectors=2)))
