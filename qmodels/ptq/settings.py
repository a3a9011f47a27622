"""What a calibration has: workload, method with what `--set` changes of it, images, seed.

A key of `changes` is a switch of the method (`groups`), or STEP.FIELD, a field of each of the method's steps of that name
(`reconstruct.iterations`). Switches of what only a training does are refused.
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

TRAINING = (*methods.TERMS, "crops", "irm", "scale_gradient", "start", "weight_start")
"""Switches of a method that nothing but a training heeds."""
MOST_SEED = 2**31 - 1
"""Seeds of units and searches are made of that of the calibration, and are 64-bit numbers."""
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
        if not 0 <= self.seed <= MOST_SEED:
            raise HwsimError(
                f"{self.workload.name}: seed must be 0..{MOST_SEED}, got {self.seed}; choose a smaller one"
            )

    def identity(self) -> dict[str, str]:
        """All that decides the result besides images, weights and machine, as texts.

        `stages` says which steps there are, STEP.FIELD what that field is: once where it is the same in all of them.
        """
        own = {key: str(getattr(self, key)) for key in ("images", "sample", "batch", "seed")}
        stages = self.method.stages
        fields: dict[str, list[str]] = {}
        for step in (step for stage in stages for step in stage):
            for field in dataclasses.fields(step):
                fields.setdefault(f"{step.name}.{field.name}", []).append(str(getattr(step, field.name)))
        return {
            "workload": self.workload.name,
            "method": self.method.name,
            **own,
            **methods.difference(self.method),
            "stages": "; ".join(", ".join(step.name for step in stage) for stage in stages),
            **{key: values[0] if len(set(values)) == 1 else ", ".join(values) for key, values in fields.items()},
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
    found = changed(base, changes or {})
    own = min(images, SAMPLE) if sample is None else min(sample, images)
    return Settings(workload, found, images, own, batch or min(images, 32), seed)


def changed(method: Method, changes: Mapping[str, str]) -> Method:
    """`method` with the switches and fields of steps in `changes` as their texts say; raises HwsimError.

    Of a post-training method, what only a training does stays as it is.
    """
    found = methods.changed(method, {key: text for key, text in changes.items() if "." not in key})
    if method.stages:
        for key, text in changes.items():
            if key in _of_training(method) and getattr(found, key) != getattr(method, key):
                own = str(getattr(method, key)).lower()
                raise HwsimError(
                    f"{method.name}: {key} is of training, and stays {own} in a calibration, got {text}; leave it out, or "
                    "use `hwsim train`"
                )
    fields: dict[str, dict[str, str]] = {}
    for key, text in changes.items():
        step, point, field = key.partition(".")
        if point:
            fields.setdefault(step, {})[field] = text
    for step, texts in fields.items():
        found = _with(found, step, texts)
    return found


def post_training() -> tuple[str, ...]:
    """The names of the methods that a calibration makes, presets included."""
    return tuple(name for name in methods.names() if methods.find(name).stages)


def _of_training(method: Method) -> tuple[str, ...]:
    """TRAINING; and a scale per input channel, unless `reparametrize` makes one scale of it, which integers need."""
    mended = any(step.name == "reparametrize" for stage in method.stages for step in stage)
    return TRAINING if mended else (*TRAINING, "per_input_channel")


def _with(method: Method, name: str, texts: Mapping[str, str]) -> Method:
    """`method` whose steps called `name` have fields as `texts` say, all at once."""
    steps = {step.name: step for stage in method.stages for step in stage}
    if name not in steps:
        raise catalog.unknown(f"{method.name}: step", name, sorted(steps))
    fields = {f.name: getattr(steps[name], f.name) for f in dataclasses.fields(steps[name])}
    settable = sorted(key for key, value in fields.items() if isinstance(value, bool | int | float | str))
    for field in texts:
        if field not in settable:
            raise catalog.unknown(f"{method.name}: {name}", field, settable)

    def renewed(step: Step) -> Step:
        if step.name != name:
            return step
        parsed = {f: _parsed(method.name, f"{name}.{f}", text, getattr(step, f)) for f, text in texts.items()}
        return dataclasses.replace(step, **parsed)

    return dataclasses.replace(method, stages=tuple(tuple(renewed(step) for step in stage) for stage in method.stages))


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
