"""torchvision beside a CPU-only torch: import this module before timm, everywhere.

PyPI's torchvision is built against CUDA. Beside a CPU build of torch its extension does not load, quietly, and then its
own Python stops at `RuntimeError: operator torchvision::nms does not exist`; timm imports torchvision, so it stops too.
The remedy: on exactly that error, drop the half-imported modules, declare the two missing schemas (never called here),
and import again. On a healthy installation nothing is declared: a second declaration would abort the interpreter.

STATUS is "native" or "shimmed".
"""

import importlib
import sys

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_library: torch.library.Library | None = None  # kept alive: its schemas go when it goes


def _load() -> str:
    global _library
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "operator torchvision::" not in str(error) or "does not exist" not in str(error):
            raise
    else:
        return "native"
    for name in [n for n in sys.modules if n == "torchvision" or n.startswith("torchvision.")]:
        del sys.modules[name]
    _library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        _library.define(schema)
    importlib.import_module("torchvision")
    return "shimmed"


STATUS = _load()
