"""Products of bytes on matrix registers (AMX: Intel since Sapphire Rapids)."""

import ctypes
import platform
import sys

from hwsim.errors import HwsimError
from hwsim.kernels.simd.instructions import Vpdpbusd
from hwsim.kernels.simd.matrix import Amx as Instructions
from hwsim.kernels.simd.matrix import MatrixTiles
from hwsim.kernels.simd.tier import SimdTier, word_tiles

ARCH_PRCTL, REQUEST_PERMISSION, TILE_DATA = 158, 0x1023, 18
"""Linux's call, on x86-64, by which a process asks for the matrix registers' state; without it their use is fatal."""


class Amx(SimdTier):
    """Tiles of 32 x 32 sums; raises HwsimError where the system refuses the registers."""

    name = "amx"
    features = (("amx-tile", "amx-int8", "avx512vnni", "avx512bw", "avx512vl"),)
    permutable = True

    def __init__(self) -> None:
        _ask_permission()
        super().__init__(MatrixTiles(Instructions(), Vpdpbusd(16)), word_tiles(16))


def _ask_permission() -> None:
    """For this process and all of its threads; it is inherited by fork, not by exec."""
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "AMD64"):
        raise HwsimError(
            f"amx: Linux on x86-64 is needed, got {sys.platform} on {platform.machine()}; use another tier"
        )
    if ctypes.CDLL(None, use_errno=True).syscall(ARCH_PRCTL, REQUEST_PERMISSION, TILE_DATA):
        error = ctypes.get_errno()
        raise HwsimError(f"amx: the system must grant the matrix registers, got error {error}; use another tier")
