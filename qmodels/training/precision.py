"""Mixed precision: matrix products in bf16 or fp16 where the device has it, everything else in float32.

Quantizers round in float32, and the value of a code, scale * q, is then rounded to bf16 (8 bits of mantissa) or fp16 (11)
for the product: training sees that error besides the quantizer's, evaluation does not. `auto` is off on a CPU.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from hwsim.errors import HwsimError
from workloads.workload import Recipe

TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """The casts of a recipe on a device; with fp16 the loss is scaled, and steps whose gradient overflows are skipped."""

    def __init__(self, recipe: Recipe, device: torch.device, name: str) -> None:
        chosen = recipe.amp
        if chosen == "auto":
            chosen = "off"
            if device.type == "cuda":
                chosen = "fp16" if not torch.cuda.is_bf16_supported() and recipe.parallel == "ddp" else "bf16"
        if chosen == "fp16" and device.type == "cpu":
            raise HwsimError(f"{name}: amp must be off or bf16 on a CPU, got fp16; pass --set amp=bf16")
        self.kind, self.device = chosen, device
        self.scaler = torch.amp.GradScaler(device.type, enabled=chosen == "fp16")

    @property
    def skips(self) -> bool:
        """Whether a gradient that is not finite is a step left out rather than an error."""
        return self.scaler.is_enabled() and self.scaler.get_scale() > 1.0

    def casting(self) -> AbstractContextManager[object]:
        """Within, products are in the lower precision."""
        return torch.autocast(self.device.type, TYPES.get(self.kind, torch.bfloat16), enabled=self.kind != "off")

    def scaled(self, loss: Tensor) -> Tensor:
        """The loss times the scale of fp16; itself otherwise."""
        return self.scaler.scale(loss)

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Take the scale out of the gradients."""
        self.scaler.unscale_(optimizer)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """The optimizer's step, unless the gradient overflowed."""
        self.scaler.step(optimizer)
        self.scaler.update()

    def state(self) -> dict[str, float]:
        """What must be kept to go on."""
        return dict(self.scaler.state_dict())

    def restore(self, state: Mapping[str, float]) -> None:
        """Take back what `state` gave."""
        if state:
            self.scaler.load_state_dict(dict(state))
