"""Dot products of bytes by 16-bit pairs (AVX2), whose sums stay short for a while; of words where those would saturate."""

from hwsim.kernels.simd.instructions import Vpmaddubsw
from hwsim.kernels.simd.tier import SimdTier, word_tiles
from hwsim.kernels.simd.tiles import ShortSums


class Avx2(SimdTier):
    """Tiles of 6 x 16 sums."""

    name = "avx2"
    features = (("avx2",),)

    def __init__(self) -> None:
        super().__init__(ShortSums(Vpmaddubsw(), height=6, vectors=2), word_tiles(8))
