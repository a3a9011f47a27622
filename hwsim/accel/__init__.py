"""The accelerator model; so far `hwsim.accel.gemm_cycles`: cycles and SRAM words of a GEMM on a systolic array."""

from hwsim.accel.dataflow import GemmCycles, gemm_cycles

__all__ = ["GemmCycles", "gemm_cycles"]
