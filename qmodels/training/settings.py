"""Which workload, method and recipe a training has: those of its name, with what `--set KEY=VALUE` changes.

A key is a field of the recipe or a switch of the method. `--method` takes the place of the workload's own method; the
recipe, and so the budget, stays that of the workload.
"""

import dataclasses
import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass

import workloads
from hwsim import catalog
from hwsim.errors import HwsimError, UnknownName
from qmodels import (
    method as methods,
)
from qmodels import (
    torchvision_shim,  # noqa: F401 - before timm
)
from qmodels.method import Method
from workloads.workload import Recipe, Workload

# isort: split
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
_FIELDS = {field.name: field.type for field in dataclasses.fields(Recipe)}


@dataclass(frozen=True, slots=True)
class Settings:
    """What is trained, how its loss is made, and how it is trained."""

    workload: Workload
    method: Method
    recipe: Recipe

    def identity(self) -> dict[str, str]:
        """All that decides the weights besides images, teacher and machine, as texts; what is switched off is not there."""
        fields = {key: str(value) for key in _FIELDS if (value := getattr(self.recipe, key)) is not False}
        return {"workload": self.workload.name, "method": self.method.name, **fields, **methods.difference(self.method)}


def resolve(
    workload: Workload | str,
    *,
    method: str | None = None,
    preset: str = methods.DEPLOYABLE,
    recipe: Recipe | None = None,
    changes: Mapping[str, str] | None = None,
) -> Settings:
    """The settings of `workload`, its method or `method` as `preset`, its recipe or `recipe`, with `changes`, checked."""
    if isinstance(workload, str):
        workload = workloads.find(workload)
    recipe = recipe or workload.recipe
    base = methods.find(method or workload.method, preset)
    if base.stages:
        raise HwsimError(
            f"{base.name}: a training must be by a method that trains, got a post-training one; use `hwsim calibrate`, or "
            "choose another --method"
        )
    if base.name != workload.method:
        workload = workloads.find(f"{workload.model.name}_{workload.bits.name}_{base.name}")
    changes = dict(changes or {})
    own = {key: text for key, text in changes.items() if key in _FIELDS}
    switches = {key: text for key, text in changes.items() if key not in _FIELDS}
    for key in switches:
        if key not in methods.SWITCHES:
            raise catalog.unknown("--set", key, (*_FIELDS, *methods.SWITCHES))
    recipe = dataclasses.replace(recipe, **{key: _value(workload.name, key, text) for key, text in own.items()})
    settings = Settings(workload, methods.changed(base, switches), recipe)
    _check(settings)
    return settings


def _value(name: str, key: str, text: str) -> object:
    """What `text` means for the field `key` of a recipe."""
    kind = _FIELDS[key]
    if kind is str:
        return "" if text == "none" and key not in CHOICES else text
    if kind is bool:
        if text not in ("true", "false"):
            raise _bad(name, key, "true or false", repr(text))
        return text == "true"
    try:
        return int(text) if kind is int else float(text)
    except ValueError:
        raise _bad(name, key, "a whole number" if kind is int else "a number", repr(text)) from None


def _check(settings: Settings) -> None:
    """Raise HwsimError for what cannot be, alone or together."""
    name, recipe = settings.workload.name, settings.recipe
    for key, known in CHOICES.items():
        if getattr(recipe, key) not in known:
            raise catalog.unknown(f"{name}: {key}", getattr(recipe, key), known)
    if recipe.optimizer not in timm.optim.list_optimizers():
        near = difflib.get_close_matches(recipe.optimizer, timm.optim.list_optimizers(), catalog.LISTED, 0.0)
        raise UnknownName(
            f"{name}: optimizer: unknown name, got {recipe.optimizer!r}; timm's, nearest first: {', '.join(near)}"
        )
    for key in COUNTS:
        if getattr(recipe, key) < 1:
            raise _bad(name, key, "1 or more", getattr(recipe, key))
    for key, kind in _FIELDS.items():
        if kind in (int, float) and not (math.isfinite(getattr(recipe, key)) and getattr(recipe, key) >= 0):
            raise _bad(name, key, "0 or more", getattr(recipe, key))
    for key in SHARES:
        if getattr(recipe, key) >= 1:
            raise _bad(name, key, "less than 1", getattr(recipe, key))
    if not 0 < recipe.smallest_crop <= 1:
        raise _bad(name, "smallest_crop", "above 0 and at most 1", recipe.smallest_crop)
    _check_together(name, settings.method, recipe)


def _check_together(name: str, method: Method, recipe: Recipe) -> None:
    """Raise HwsimError for settings that exclude each other."""
    if (recipe.mixup or recipe.cutmix) and recipe.batch % 2:
        raise _bad(name, "batch", "even with mixup or cutmix, which mix pairs", recipe.batch)
    if method.crops and (recipe.mixup or recipe.cutmix):
        key = "mixup" if recipe.mixup else "cutmix"
        raise _bad(name, key, "0 with crops, whose answers are stored", getattr(recipe, key))
    if recipe.parallel == "fsdp" and recipe.ema:
        raise _bad(name, "ema", "0 with parallel=fsdp, which spreads the weights", recipe.ema)
    if recipe.parallel == "fsdp" and recipe.compile:
        raise _bad(name, "compile", "false with parallel=fsdp", "true")
    if recipe.parallel == "fsdp" and recipe.amp == "fp16":
        raise _bad(name, "amp", "auto, off or bf16 with parallel=fsdp", recipe.amp)
    if recipe.parallel == "fsdp" and method.bins:
        raise _bad(name, "bins", "0 with parallel=fsdp, as the term needs whole weights between the steps", method.bins)


def _bad(name: str, key: str, rule: str, got: object) -> HwsimError:
    return HwsimError(f"{name}: {key} must be {rule}, got {got}; pass --set {key}=VALUE")
