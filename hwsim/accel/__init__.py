"""The accelerator model: cycles, bytes and joules of a graph on a machine, in closed form.

`evaluate(graph, find("systolic_32x32"))` gives an `Estimate`; `gemm_cycles` prices one GEMM on a systolic array.
"""

from hwsim.accel.accelerator import Accelerator, find
from hwsim.accel.dataflow import GemmCycles, gemm_cycles
from hwsim.accel.estimate import Estimate
from hwsim.accel.evaluation import evaluate, float32
from hwsim.accel.program import Program

__all__ = ["Accelerator", "Estimate", "GemmCycles", "Program", "evaluate", "find", "float32", "gemm_cycles"]
