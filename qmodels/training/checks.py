"""Which settings of a training cannot be, alone or together: each is told in one line, before any work."""

import dataclasses
import difflib
import math
from collections.abc import Collection, Mapping

import torch

from hwsim import catalog
from hwsim.accel.layer_bits import Widths
from hwsim.errors import HwsimError, UnknownName
from qmodels import torchvision_shim  # noqa: F401 - before timm
from qmodels.method import Method
from workloads.workload import Recipe, Workload

# isort: split
import timm.data
import timm.optim

OWN_SCHEDULE = "half_cosine"
CHOICES = {
    "schedule": (OWN_SCHEDULE, "constant", "cosine", "tanh", "poly", "step"),
    "augmentation": ("usual", "none"),
    "amp": ("auto", "off", "bf16", "fp16"),
    "parallel": ("ddp", "fsdp"),
    "device": ("auto", "cpu", "cuda"),
}
"""What the settings that are texts may be."""

SHARES = ("label_smoothing", "ema", "erase", "drop_path")
COUNTS = ("epochs", "batch", "calibration", "decay_epochs")
LARGEST = 2**63 - 1
"""The largest number that torch takes for a seed or a size, whatever is added for a process."""
_AUGMENTS = {"auto_augment": "", "smallest_crop": 1.0, "color_jitter": 0.0, "erase": 0.0}
"""Settings of timm's augmentation, and what switches each off."""
_NUMBERS = {f.name: f.type for f in dataclasses.fields(Recipe) if f.type in (int, float)}


def check(
    workload: Workload, method: Method, recipe: Recipe, layer_bits: Mapping[str, Widths], given: Collection[str]
) -> None:
    """Raise HwsimError for what cannot be, alone or together; `given` are the fields of the recipe that the user set."""
    name = workload.name
    for key, known in CHOICES.items():
        if getattr(recipe, key) not in known:
            raise catalog.unknown(f"{name}: {key}", getattr(recipe, key), known)
    for key in COUNTS:
        if getattr(recipe, key) < 1:
            raise bad(name, key, "1 or more", getattr(recipe, key))
    for key, kind in _NUMBERS.items():
        value = getattr(recipe, key)
        if kind is int and value > LARGEST:
            raise bad(name, key, f"at most {LARGEST}", value)
        if not (math.isfinite(value) and value >= 0):
            raise bad(name, key, "0 or more", value)
    _check_optimizer(name, recipe)
    for key in SHARES:
        if getattr(recipe, key) >= 1:
            raise bad(name, key, "less than 1", getattr(recipe, key))
    if not 0 < recipe.smallest_crop <= 1:
        raise bad(name, "smallest_crop", "above 0 and at most 1", recipe.smallest_crop)
    _check_together(name, method, recipe)
    _check_augmentation(workload, method, recipe, given)
    if layer_bits and workload.bits.is_float:
        raise HwsimError(f"{name}: a float model has no widths of layers, got some; name a quantized workload")


def _check_optimizer(name: str, recipe: Recipe) -> None:
    """Raise HwsimError for an optimizer that timm does not have, that cannot be made here, or that this loop cannot drive."""
    known = timm.optim.list_optimizers()
    if recipe.optimizer not in known:
        near = difflib.get_close_matches(recipe.optimizer, known, catalog.LISTED, 0.0)
        raise UnknownName(
            f"{name}: optimizer: unknown name, got {recipe.optimizer!r}; timm's, nearest first: {', '.join(near)}"
        )
    if timm.optim.get_optimizer_info(recipe.optimizer).second_order:
        raise bad(name, "optimizer", "one of first derivatives", recipe.optimizer)
    if recipe.optimizer.startswith("kron"):
        raise bad(name, "optimizer", "one whose whole state can be kept", f"{recipe.optimizer}, which draws in secret")
    try:
        timm.optim.create_optimizer_v2([torch.nn.Parameter(torch.zeros(2, 2))], recipe.optimizer, lr=recipe.lr)
    except (AssertionError, ImportError, RuntimeError, ValueError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise bad(name, "optimizer", "one that can be made here", f"{recipe.optimizer} ({reason})") from None


def _check_augmentation(workload: Workload, method: Method, recipe: Recipe, given: Collection[str]) -> None:
    """Raise HwsimError for an auto_augment that timm cannot read, and for `given` settings that would have no effect."""
    name = workload.name
    if recipe.auto_augment:
        try:
            timm.data.create_transform(32, is_training=True, auto_augment=recipe.auto_augment)
        except (AssertionError, LookupError, TypeError, ValueError) as error:
            rule = "a policy of timm's, as rand-m9-mstd0.5-inc1"
            raise bad(name, "auto_augment", rule, f"{recipe.auto_augment!r} ({error})") from None
    why = ""
    if recipe.augmentation == "none":
        why = "augmentation=none"
    elif workload.dataset.kind == "digits":
        why = "digits, which get a small affine map"
    elif method.crops:
        why = "crops, which are all that is drawn"
    for key in given if why else ():
        if key in _AUGMENTS and getattr(recipe, key) != _AUGMENTS[key]:
            raise HwsimError(f"{name}: {key} has no effect with {why}, got {getattr(recipe, key)}; leave it out")
    if "color_jitter" in given and recipe.color_jitter and recipe.auto_augment and "3a" not in recipe.auto_augment:
        raise HwsimError(
            f"{name}: color_jitter has no effect with auto_augment={recipe.auto_augment}, got {recipe.color_jitter}; leave "
            "one out"
        )


def _check_together(name: str, method: Method, recipe: Recipe) -> None:
    """Raise HwsimError for settings that exclude each other."""
    if (recipe.mixup or recipe.cutmix) and recipe.batch % 2:
        raise bad(name, "batch", "even with mixup or cutmix, which mix pairs", recipe.batch)
    if method.crops and (recipe.mixup or recipe.cutmix):
        key = "mixup" if recipe.mixup else "cutmix"
        raise bad(name, key, "0 with crops, whose answers are stored", getattr(recipe, key))
    if recipe.parallel == "fsdp" and recipe.ema:
        raise bad(name, "ema", "0 with parallel=fsdp, which spreads the weights", recipe.ema)
    if recipe.parallel == "fsdp" and recipe.compile:
        raise bad(name, "compile", "false with parallel=fsdp", "true")
    if recipe.parallel == "fsdp" and recipe.amp == "fp16":
        raise bad(name, "amp", "auto, off or bf16 with parallel=fsdp", recipe.amp)
    if recipe.parallel == "fsdp" and method.bins:
        raise bad(name, "bins", "0 with parallel=fsdp, as the term needs whole weights between the steps", method.bins)


def bad(name: str, key: str, rule: str, got: object) -> HwsimError:
    """The error of a setting that breaks a rule."""
    return HwsimError(f"{name}: {key} must be {rule}, got {got}; pass --set {key}=VALUE")
