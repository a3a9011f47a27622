"""Training from nothing to a checkpoint: float, or quantization-aware from a float teacher.

AdamW with cosine decay (and a linear warm-up of `recipe.warmup` epochs), affine augmentation, gradients clipped at norm
1. Float: cross entropy. Quantized: the weights of the teacher, scales calibrated on 256 training images *before* the
first step, cross entropy plus the method's distillation and DGD. Scales and zero points take part in AdamW without
weight decay. Deterministic for a seed, a thread count and a machine. The checkpoint is the last epoch's; nothing is
chosen on the test split.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import workloads
from hwsim import catalog
from hwsim.errors import HwsimError
from qmodels import augment, builder, checkpoint, data, distillation
from qmodels.calibrate import calibrate
from qmodels.evaluation import accuracy
from qmodels.method import Method
from workloads.workload import Recipe, Workload

CALIBRATION_IMAGES = 256


@dataclass(frozen=True, slots=True)
class Progress:
    """What the `progress` callback is told after each epoch: `epoch` of `epochs` and the mean loss."""

    epoch: int
    epochs: int
    loss: float


@dataclass(frozen=True, slots=True)
class Metrics:
    """What training came to; accuracies in [0, 1]."""

    workload: str
    epochs: int
    seed: int
    seconds: float
    loss: float
    validation_accuracy: float
    test_accuracy: float


def _silent(_progress: Progress) -> None:
    """The default callback."""


def train(
    workload: Workload | str,
    *,
    epochs: int | None = None,
    seed: int | None = None,
    out: Path,
    progress: Callable[[Progress], None] = _silent,
    recipe: Recipe | None = None,
    teacher: Path | None = None,
) -> Metrics:
    """Train `workload` by its recipe (or `recipe`), write the checkpoint `out`, and return what it came to.

    `teacher` is the float checkpoint a quantized model starts from, the shipped one by default.
    """
    if isinstance(workload, str):
        workload = workloads.find(workload)
    recipe = recipe or workload.recipe
    if recipe is None:
        raise HwsimError(f"{workload.name}: needs a training recipe, got none; train a workload of the digits")
    recipe = dataclasses.replace(
        recipe, epochs=recipe.epochs if epochs is None else epochs, seed=recipe.seed if seed is None else seed
    )
    if recipe.epochs < 1:
        raise HwsimError(f"{workload.name}: epochs must be 1 or more, got {recipe.epochs}; pass --epochs")
    start = time.perf_counter()
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(recipe.seed)
        model, master = _models(workload, recipe, teacher)
        loss = _fit(model, master, workload, recipe, progress)
    scores = {split: accuracy(model, *data.load(workload, split)) for split in ("validation", "test")}
    checkpoint.save(model.eval(), workload.name, out, _description(recipe, workload, scores))
    seconds = time.perf_counter() - start
    return Metrics(workload.name, recipe.epochs, recipe.seed, seconds, loss, scores["validation"], scores["test"])


def _models(workload: Workload, recipe: Recipe, teacher: Path | None) -> tuple[nn.Module, nn.Module | None]:
    """The model to train, and its float teacher where the recipe names one."""
    if not recipe.teacher:
        return checkpoint.empty(workload), None
    master = builder.build(recipe.teacher, teacher).requires_grad_(False)
    model = checkpoint.empty(workload)
    weights = master.state_dict()
    model.load_state_dict(weights, strict=False)
    _recalibrate_weights(model)
    images, _ = data.load(workload, "train", limit=CALIBRATION_IMAGES)
    return calibrate(model, images), master


def _recalibrate_weights(model: nn.Module) -> None:
    """Set the weight scales again: at insertion they were set from random weights."""
    for module in model.modules():
        if hasattr(module, "weight_quantizer") and not isinstance(module.weight_quantizer, nn.Identity):
            module.weight_quantizer.initialise(module.weight)


def _fit(
    model: nn.Module, master: nn.Module | None, workload: Workload, recipe: Recipe, progress: Callable[[Progress], None]
) -> float:
    """Train `model` in place; returns the mean loss of the last epoch."""
    method: Method = catalog.find("qmodels.methods", workload.method, "method")
    images, labels = data.load(workload, "train")
    generator = torch.Generator().manual_seed(recipe.seed)
    steps = math.ceil(len(images) / recipe.batch)
    optimizer = torch.optim.AdamW(_groups(model, recipe), lr=recipe.lr)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step / steps, recipe))
    loss = math.nan
    with ExitStack() as stack:
        seen = [stack.enter_context(distillation.gather(m)) for m in (model, master) if m is not None]
        for epoch in range(1, recipe.epochs + 1):
            model.train()
            total = 0.0
            for batch, chosen in enumerate(_batches(len(images), recipe.batch, generator)):
                for tensors in seen:
                    tensors.clear()
                value = _loss(
                    model, master, method, recipe, augment.affine(images[chosen], generator), labels[chosen], seen
                )
                if not value.isfinite():
                    raise HwsimError(
                        f"{workload.name}: loss must be finite, got {value.item()} in epoch {epoch}, batch {batch}; "
                        "lower the learning rate"
                    )
                optimizer.zero_grad()
                value.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                total += value.item() * len(chosen)
            loss = total / len(images)
            progress(Progress(epoch, recipe.epochs, loss))
    return loss


def _loss(
    model: nn.Module,
    master: nn.Module | None,
    method: Method,
    recipe: Recipe,
    images: Tensor,
    labels: Tensor,
    seen: list[list[Tensor]],
) -> Tensor:
    """Cross entropy, and what the method adds where there is a teacher."""
    logits = model(images)
    loss = F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
    if master is None:
        return loss
    with torch.no_grad():
        wanted = master(images)
    loss = loss + method.distillation * distillation.soft_labels(logits, wanted)
    if method.dgd:
        loss = loss + method.dgd * distillation.dgd(*seen)
    return loss


def _groups(model: nn.Module, recipe: Recipe) -> list[dict[str, object]]:
    """Weight decay for matrices alone: not for biases, norms, scales and zero points."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    return [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def _rate(epoch: float, recipe: Recipe) -> float:
    """The learning rate at the fractional `epoch`, as a share of recipe.lr: linear warm-up, then half a cosine."""
    if epoch < recipe.warmup:
        return (epoch + 0.01) / recipe.warmup
    return 0.5 * (1 + math.cos(math.pi * (epoch - recipe.warmup) / (recipe.epochs - recipe.warmup)))


def _batches(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    yield from torch.randperm(count, generator=generator).split(size)


def _description(recipe: Recipe, workload: Workload, scores: dict[str, float]) -> dict[str, str]:
    """Metadata: how the checkpoint was made and how well it does."""
    return {
        "bits": str(workload.bits),
        "method": workload.method,
        "threads": str(torch.get_num_threads()),
        **{field.name: str(getattr(recipe, field.name)) for field in dataclasses.fields(recipe)},
        **{f"{split}_accuracy": f"{value:.6f}" for split, value in scores.items()},
    }
