"""What a calibration has: workload, method with what `--set` changes of it, images, seed.

A key of `changes` is a switch of the method (`irm`), or STEP.FIELD, a field of each of the method's steps of that name
(`reconstruct.iterations`).
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import workloads
from hwsim import catalog
from hwsim.errors import HwsimError
from qmodels import method as methods
from qmodels.method import Method
from qmodels.step import Step
from workloads.workload import Workload

SAMPLE = 32
"""Images whose activations are held at once, for searches; more of them only tune (`reconstruct`)."""


@dataclass(frozen=True, slots=True)
class Settings:
    """images: how many calibrate; sample: on how many of them grids are searched; batch: images that run at once."""

    workload: Workload
    method: Method
    images: int = 32
    sample: int = SAMPLE
    batch: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        for key in ("images", "sample", "batch"):
            if getattr(self, key) < 1:
                raise HwsimError(f"{self.workload.name}: {key} must be 1 or more, got {getattr(self, key)}")

    def identity(self) -> dict[str, str]:
        """All that decides the result besides images, weights and machine, as texts."""
        own = {key: str(getattr(self, key)) for key in ("images", "sample", "batch", "seed")}
        steps = {"stages": repr(self.method.stages)}
        return {
            "workload": self.workload.name,
            "method": self.method.name,
            **own,
            **methods.difference(self.method),
            **steps,
        }


def resolve(
    workload: Workload | str,
    *,
    method: str | None = None,
    preset: str = methods.DEPLOYABLE,
    changes: Mapping[str, str] | None = None,
    images: int = 32,
    sample: int | None = None,
    batch: int | None = None,
    seed: int = 0,
) -> Settings:
    """The settings of `workload` by its method or `method` as `preset`, with `changes`, checked."""
    if isinstance(workload, str):
        workload = workloads.find(workload)
    base = methods.find(method or workload.method, preset)
    if workload.bits.is_float:
        raise HwsimError(f"{workload.name}: a calibration makes a quantized model, got 32 bits; choose wXaY with less")
    if not base.stages:
        known = ", ".join(post_training())
        raise HwsimError(
            f"{base.name}: a calibration must be of a post-training method, got one that is trained; "
            f"use `hwsim train`, or one of {known}"
        )
    if base.name != workload.method:
        workload = workloads.find(f"{workload.model.name}_{workload.bits.name}_{base.name}")
    changes = dict(changes or {})
    switches = {key: text for key, text in changes.items() if "." not in key}
    found = methods.changed(base, switches)
    for key, text in changes.items():
        if "." in key:
            found = _with(found, key, text)
    own = min(images, SAMPLE) if sample is None else min(sample, images)
    return Settings(workload, found, images, own, batch or min(images, 32), seed)


def post_training() -> tuple[str, ...]:
    """The names of the methods that a calibration makes, presets included."""
    return tuple(name for name in methods.names() if methods.find(name).stages)


def _with(method: Method, key: str, text: str) -> Method:
    """`method` whose steps of the name in `key` have the field in `key` as `text` says."""
    name, _, field = key.partition(".")
    steps = {step.name: step for stage in method.stages for step in stage}
    if name not in steps:
        raise catalog.unknown(f"{method.name}: step", name, sorted(steps))
    fields = {f.name: getattr(steps[name], f.name) for f in dataclasses.fields(steps[name])}
    settable = sorted(key for key, value in fields.items() if isinstance(value, bool | int | float | str))
    if field not in settable:
        raise catalog.unknown(f"{method.name}: {name}", field, settable)

    def changed(step: Step) -> Step:
        if step.name != name:
            return step
        return dataclasses.replace(step, **{field: _parsed(method.name, key, text, getattr(step, field))})

    return dataclasses.replace(method, stages=tuple(tuple(changed(step) for step in stage) for stage in method.stages))


def _parsed(name: str, key: str, text: str, like: object) -> object:
    """`text` as a value of the type of `like`."""
    if isinstance(like, bool):
        if text in ("true", "false"):
            return text == "true"
    elif isinstance(like, str):
        return text
    else:
        try:
            return int(text) if isinstance(like, int) else float(text)
        except ValueError:
            pass
    rule = {bool: "true or false", int: "a whole number"}.get(type(like), "a number")
    raise HwsimError(f"{name}: {key} must be {rule}, got {text!r}; pass --set {key}={like}")
