"""Which workload, method and recipe a training has: those of its name, with what `--set KEY=VALUE` changes.

A key is a field of the recipe or a switch of the method. `--method` takes the place of the workload's own method; the
recipe, and so the budget, stays that of the workload.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import workloads
from hwsim import catalog
from hwsim.accel.layer_bits import Widths
from hwsim.errors import HwsimError
from qmodels import method as methods
from qmodels.method import Method
from qmodels.training import checks
from qmodels.training.checks import CHOICES
from qmodels.widths import SOURCE
from workloads.workload import Recipe, Workload

_FIELDS = {f.name: f.type for f in dataclasses.fields(Recipe)}


@dataclass(frozen=True, slots=True)
class Settings:
    """What is trained, how its loss is made, and how it is trained."""

    workload: Workload
    method: Method
    recipe: Recipe
    layer_bits: Mapping[str, Widths] = field(default_factory=dict)

    def identity(self) -> dict[str, str]:
        """All that decides the weights besides images, teacher and machine, as texts; what is switched off is not there."""
        fields = {key: str(value) for key in _FIELDS if (value := getattr(self.recipe, key)) is not False}
        own = {SOURCE: json.dumps(self.layer_bits, sort_keys=True)} if self.layer_bits else {}
        changed = methods.difference(self.method)
        return {"workload": self.workload.name, "method": self.method.name, **fields, **changed, **own}


def resolve(
    workload: Workload | str,
    *,
    method: str | None = None,
    preset: str = methods.DEPLOYABLE,
    recipe: Recipe | None = None,
    changes: Mapping[str, str] | None = None,
    layer_bits: Mapping[str, Widths] | None = None,
) -> Settings:
    """The settings of `workload`, its method or `method` as `preset`, its recipe or `recipe`, with `changes`, checked.

    layer_bits: widths of products by name or pattern, where the workload's do not hold.
    """
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
    settings = Settings(workload, methods.changed(base, switches), recipe, dict(layer_bits or {}))
    checks.check(settings.workload, settings.method, recipe, settings.layer_bits, own)
    return settings


def _value(name: str, key: str, text: str) -> object:
    """What `text` means for the field `key` of a recipe."""
    kind = _FIELDS[key]
    if kind is str:
        return "" if text == "none" and key not in CHOICES else text
    if kind is bool:
        if text not in ("true", "false"):
            raise checks.bad(name, key, "true or false", repr(text))
        return text == "true"
    try:
        return int(text) if kind is int else float(text)
    except ValueError:
        raise checks.bad(name, key, "a whole number" if kind is int else "a number", repr(text)) from None
