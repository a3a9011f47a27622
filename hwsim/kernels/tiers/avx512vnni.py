"""Dot products of bytes in 512-bit registers (AVX512-VNNI: Intel since Ice Lake, AMD since Zen 4)."""

from hwsim.kernels.simd.instructions import Vpdpbusd
from hwsim.kernels.simd.tier import SimdTier, word_tiles
from hwsim.kernels.simd.tiles import Tiles


class Avx512Vnni(SimdTier):
    """Tiles of 6 x 64 sums, of 5 x 64 where pairs of products save multiplications."""

    name = "avx512vnni"
    features = (("avx512vnni", "avx512bw", "avx512vl"),)
    permutable = True

    def __init__(self) -> None:
        super().__init__(Tiles(Vpdpbusd(16), height=6, vectors=4, paired_height=5), word_tiles(16))
