"""qmodels: quantized Vision Transformers in torch: timm's models with quantizers inserted, trained, traced, verified.

The names below are imported when they are first used: torch and timm are heavy.
"""

import importlib
from typing import Any

_HOME = {
    "build": "qmodels.builder",
    "trace": "qmodels.tracing",
    "verify": "qmodels.verification",
}
__all__ = ["build", "trace", "verify"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'qmodels' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
