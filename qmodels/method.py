"""A method says which quantizer goes where, and what its training adds to the loss: its fields are switches.

`qmodels/methods/` lists methods, one file each; a file may give PRESETS beside its method, whole methods under the names
`paper` (as printed), `released` (as in its authors' code) and `deployable` (what integer hardware executes: the method
itself). NAME_PRESET is a name too: `find("qvit_released")`. `changed` sets switches from texts (`--set KEY=VALUE`), and
`difference` gives them back, so that name and texts are all that must be kept of a method.

`Slot(quantizer, signed)` names an entry of `qmodels/quantizers/`; as a text it reads `lsq:signed`. A scale per input
channel lies along the reduction axis, which no integer product executes: tracing refuses it, `qmodels.folding` mends it.
"""

import dataclasses
import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

from hwsim import catalog
from hwsim.errors import HwsimError
from qmodels.step import Step

METHODS, QUANTIZERS = "qmodels.methods", "qmodels.quantizers"
DEPLOYABLE = "deployable"
WIDEST = 8
"""Bits of the widest codes of a quantizer."""
CHOICES = {
    "irm": ("none", "layernorm", "affine", "frozen"),
    "scale_gradient": ("lsq", "module"),
    "start": ("search", "mean", "fixed_point"),
    "weight_start": ("search", "mean", "fixed_point"),
}
"""What the switches that are texts may be."""
TERMS = ("labels", "distillation", "hard_distillation", "dgd", "bins")
"""The switches that are weights of terms of the loss."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One place for a quantizer: its catalogue name, and whether its codes are signed."""

    quantizer: str
    signed: bool

    def __str__(self) -> str:
        return f"{self.quantizer}:{'signed' if self.signed else 'unsigned'}"


@dataclass(frozen=True, slots=True)
class Method:
    """A quantization method: its slots, its attention form, and the weights of the terms of its loss."""

    name: str
    weights: Slot
    inputs: Slot  # inputs of Linear and Conv2d
    qkv: Slot  # q, k and v in the attention products
    softmax: Slot  # softmax output
    gelu: Slot | None = None  # input of the layer behind GELU; None: as `inputs`
    per_input_channel: bool = False  # inputs of Linear and Conv2d: one scale per input channel instead of per tensor
    per_head: bool = False  # q, k, v and softmax output: one scale per head instead of per tensor
    weights_per_tensor: bool = False  # weights: one scale per tensor instead of per output channel
    irm: str = "none"  # information rectification before the q and k quantizers: qmodels/layers/irm.py and siblings
    scale_gradient: str = "lsq"  # the factor of the scales' gradients: qmodels/quantizer.py
    start: str = "search"  # how the scales of activations start: qmodels/clipping.py
    weight_start: str = "search"  # how those of weights start
    gelu_clip: float = 0.0  # what leaves GELU is clipped to [-gelu_clip, gelu_clip]; 0: it is not
    labels: float = 1.0  # weight of the cross entropy with the labels
    distillation: float = 0.0  # weight of the KL divergence from the teacher's logits
    hard_distillation: float = 0.0  # weight of the cross entropy with the teacher's class
    dgd: float = 0.0  # weight of distribution guided distillation
    crops: int = 0  # crops per image and step that are learned from stored logits of a teacher; 0: none
    bins: float = 0.0  # largest weight of oscillation-aware bin regularization
    norm_inputs: Slot | None = None  # what every LayerNorm reads; None: it stays float
    softmax_bits: int = 0  # width of the softmax output, whatever activations have; 0: as they
    groups: int = 0  # inputs of Linear behind a LayerNorm: groups of channels with a scale each; 0: as `inputs`
    biases: bool = False  # layers without a bias get one, of zeros
    stages: tuple[
        tuple[Step, ...], ...
    ] = ()  # what calibrates a post-training method: `qmodels.ptq`; none: it is trained
    preset: str = DEPLOYABLE
    deviations: str = ""  # the page of docs/ that says what departs from paper and code

    def __post_init__(self) -> None:
        for key, known in CHOICES.items():
            if getattr(self, key) not in known:
                raise _bad(self.name, key, f"one of {', '.join(known)}", getattr(self, key), "choose one")
        for key in (
            "gelu_clip",
            "labels",
            "distillation",
            "hard_distillation",
            "dgd",
            "crops",
            "bins",
            "softmax_bits",
            "groups",
        ):
            value = getattr(self, key)
            if not (math.isfinite(value) and value >= 0):
                raise _bad(self.name, key, "0 or more", value, "0 switches it off")
        if self.softmax_bits > WIDEST:
            raise _bad(self.name, "softmax_bits", f"0..{WIDEST}", self.softmax_bits, "0 is as wide as activations")


def names() -> tuple[str, ...]:
    """The names of all methods, and NAME_PRESET of their presets, sorted."""
    found = [(name, _presets(name)) for name in catalog.names(METHODS)]
    return tuple(sorted(f"{name}_{preset}".removesuffix(f"_{DEPLOYABLE}") for name, known in found for preset in known))


def find(name: str, preset: str = DEPLOYABLE) -> Method:
    """The method `name` as its `preset`, or that NAME_PRESET names; raises UnknownName for either."""
    if name not in catalog.names(METHODS):
        stem, _, ending = name.rpartition("_")
        if stem not in catalog.names(METHODS) or ending not in _presets(stem):
            raise catalog.unknown("method", name, names())
        if preset not in (DEPLOYABLE, ending):
            raise HwsimError(f"{name}: is the preset {ending} of {stem}, got {preset} besides; leave one out")
        name, preset = stem, ending
    presets = _presets(name)
    if preset not in presets:
        raise catalog.unknown(f"preset of {name}", preset, presets)
    return presets[preset]


def _presets(name: str) -> dict[str, Method]:
    """The presets of the method file `name`; without PRESETS, the method itself is its deployable one."""
    own = getattr(importlib.import_module(f"{METHODS}.{name}"), "PRESETS", None)
    return own or {DEPLOYABLE: catalog.find(METHODS, name, "method")}


SWITCHES = {
    field.name: field.type
    for field in dataclasses.fields(Method)
    if field.name not in ("name", "stages", "preset", "deviations")
}
"""What `changed` changes: switches and their types."""


def changed(method: Method, changes: Mapping[str, str]) -> Method:
    """`method` with the switches that `changes` sets to what the texts say.

    Texts: `true` or `false`, a number, a choice, for a slot QUANTIZER:signed or QUANTIZER:unsigned (`gelu` also `none`).
    Raises UnknownName for a switch or quantizer that there is not, HwsimError for a bad value.
    """
    return dataclasses.replace(method, **{key: _value(method.name, key, text) for key, text in changes.items()})


def difference(method: Method) -> dict[str, str]:
    """What must be changed of the method of this name and preset to get `method`, as texts."""
    base = find(method.name)
    return {key: _text(getattr(method, key)) for key in SWITCHES if getattr(method, key) != getattr(base, key)}


def _text(value: object) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _value(name: str, key: str, text: str) -> object:
    """What `text` means for the switch `key` of the method `name`."""
    if key not in SWITCHES:
        raise catalog.unknown("switch", key, SWITCHES)
    kind = SWITCHES[key]
    if kind is str:
        return text
    if kind is bool:
        if text not in ("true", "false"):
            raise _bad(name, key, "true or false", text, "choose one")
        return text == "true"
    if kind in (int, float):
        try:
            return int(text) if kind is int else float(text)
        except ValueError:
            raise _bad(name, key, "a whole number" if kind is int else "a number", text, "0 switches it off") from None
    if text == "none" and kind is not Slot:
        return None
    quantizer, _, sign = text.partition(":")
    if sign not in ("signed", "unsigned"):
        raise _bad(name, key, "QUANTIZER:signed or QUANTIZER:unsigned", text, "as in lsq:signed")
    if quantizer not in catalog.names(QUANTIZERS):
        raise catalog.unknown("quantizer", quantizer, catalog.names(QUANTIZERS))
    return Slot(quantizer, sign == "signed")


def _bad(name: str, key: str, rule: str, got: object, remedy: str) -> HwsimError:
    return HwsimError(f"{name}: {key} must be {rule}, got {got}; {remedy}")
