"""hwsim: bit-accurate integer simulation and cost models of quantized Vision Transformers. Needs no torch.

The names below are imported when they are first used, so that `import hwsim` and `hwsim --help` are quick.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Graph": "hwsim.graph",
    "QuantSpec": "hwsim.spec",
    "TensorSpec": "hwsim.spec",
    "Record": "hwsim.record",
    "HwsimError": "hwsim.errors",
    "simulate": "hwsim.simulator",
    "load": "hwsim.store",
    "save": "hwsim.store",
}
__all__ = ["Graph", "HwsimError", "QuantSpec", "Record", "TensorSpec", "load", "save", "simulate"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hwsim' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
