"""The optimizer (any of timm's), the learning rate of each step, the averaged weights.

Weight decay acts on matrices alone: not on biases, norms, scales and zero points. The learning rate is a function of the
number of the step, so nothing of it has to be kept. `half_cosine` at the fractional epoch e of E with W of warm-up is
lr * (e + 0.01) / W for e < W, else lr * (1 + cos(pi (e - W) / (E - W))) / 2.
"""

import math
from collections.abc import Callable, Iterable

import torch
from torch import nn

from qmodels import torchvision_shim  # noqa: F401 - before timm
from qmodels.training.checks import OWN_SCHEDULE
from workloads.workload import Recipe

# isort: split
import timm.optim
import timm.scheduler
from timm.utils import ModelEmaV3


def make(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """timm's optimizer of that name over the parameters of `model`."""
    return timm.optim.create_optimizer_v2(_groups(model.parameters(), recipe), recipe.optimizer, lr=recipe.lr)


def _groups(parameters: Iterable[nn.Parameter], recipe: Recipe) -> list[dict[str, object]]:
    learned = [p for p in parameters if p.requires_grad]
    matrices, vectors = [p for p in learned if p.dim() > 1], [p for p in learned if p.dim() <= 1]
    return [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def schedule(optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int) -> Callable[[int], None]:
    """What sets the learning rate for step n (from 0); an epoch has `steps` of them."""
    if recipe.schedule == OWN_SCHEDULE:

        def follow(step: int) -> None:
            for group in optimizer.param_groups:
                group["lr"] = recipe.lr * rate(step / steps, recipe)

        return follow
    made, _ = timm.scheduler.create_scheduler_v2(
        optimizer,
        recipe.schedule,
        num_epochs=recipe.epochs,
        decay_epochs=recipe.decay_epochs,
        decay_rate=recipe.decay_rate,
        min_lr=recipe.min_lr,
        warmup_epochs=recipe.warmup,
        warmup_lr=recipe.lr / 100,
        step_on_epochs=False,
        updates_per_epoch=steps,
    )
    return made.step_update


def rate(epoch: float, recipe: Recipe) -> float:
    """The learning rate of `half_cosine` at the fractional `epoch`, as a share of recipe.lr."""
    if epoch < recipe.warmup:
        return (epoch + 0.01) / recipe.warmup
    return 0.5 * (1 + math.cos(math.pi * (epoch - recipe.warmup) / (recipe.epochs - recipe.warmup)))


def averaged(model: nn.Module, recipe: Recipe) -> ModelEmaV3 | None:
    """The averaged weights, where the recipe has them; they follow quickly at first (timm's warm-up)."""
    return ModelEmaV3(model, decay=recipe.ema, use_warmup=True) if recipe.ema else None
