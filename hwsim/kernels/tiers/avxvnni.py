"""Dot products of bytes in 256-bit registers (AVX-VNNI, or AVX512-VNNI with VL)."""

from hwsim.kernels.simd.instructions import Vpdpbusd
from hwsim.kernels.simd.tier import SimdTier, word_tiles
from hwsim.kernels.simd.tiles import Tiles


class AvxVnni(SimdTier):
    """Tiles of 6 x 16 sums."""

    name = "avxvnni"
    features = (("avxvnni",), ("avx512vnni", "avx512vl"))

    def __init__(self) -> None:
        super().__init__(Tiles(Vpdpbusd(8), height=6, vectors=2), word_tiles(8))
