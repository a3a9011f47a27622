"""The file of a sweep: TOML that says which points there are, and which of them compete.

    accelerator = ["systolic_32x32"]            # names of the catalogue, or files
    models = ["deit_small_patch16_224"]         # or graph files
    bits = ["w8a8", "w4a4", "mine.json"]        # uniform, with the ends at `ends` bits, or a file of bits per layer
    batch = [1, 8]
    energy = ["bit_fusion_45nm"]                # energy tables; without it each accelerator's own
    search = "random"                           # so many `points` of the grid, drawn with `seed`; or "grid", all of it
    points = 1000
    objectives = ["latency", "energy", "area"]  # what the front is of
    apart = ["model", "bits", "batch", "energy"]  # what points must have in common to compete

    [axes]                                      # any key of an accelerator's file, and its values
    array.dataflow = ["output_stationary", "weight_stationary"]
    "array.rows, array.cols" = [16, 32, [32, 64]]  # keys that move together: one value for all, or one each
    dram.gb_per_s = { from = 1, to = 100, steps = 20, scale = "log" }

A list of one may be written as its value. docs/sweep.md says more.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from hwsim.accel.layer_bits import legal
from hwsim.accel.reading import Rule, Table, checked, load, shown
from hwsim.accel.sweep.space import MOST, Axis, Space, flat
from hwsim.errors import BadFile

Objective = Literal["latency", "energy", "area", "size"]
Common = Literal["accelerator", "model", "bits", "batch", "energy"]

UNIFORM = re.compile(r"w(\d+)a(\d+)")
"""Bits of weights and activations as text; anything else names a file of bits per layer."""

FIXED = ("accelerator", "model", "models", "bits", "batch", "energy", "name", "ends")

_DIGITS = 6  # significant ones of the values of a range

_Listed = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else (value,))
_Texts = Annotated[tuple[str, ...], _Listed, Field(min_length=1), Rule("a list of texts", '["..."]')]
_Images = Annotated[int, Field(ge=1, le=65536), Rule("an integer from 1 to 65536 (images)", "1")]


class Range(Table):
    """`steps` values between two ends, evenly spaced or in equal ratios, to six digits; `whole` rounds them, and drops what
    is then there twice."""

    start: Annotated[float, Field(alias="from"), Rule("a number", "1.0")]
    to: Annotated[float, Rule("a number", "100.0")]
    steps: Annotated[int, Field(ge=2, le=100_000), Rule("an integer of 2 to 100000", "20")]
    scale: Literal["linear", "log"] = "linear"
    whole: bool = False

    @model_validator(mode="after")
    def _ratios(self) -> "Range":
        if self.scale == "log" and not (self.start > 0 and self.to > 0):
            raise ValueError(f"from must be above 0 like to where the scale is log, got {self.start:g}; start above 0")
        return self

    def values(self) -> tuple[float, ...]:
        """Its values, the ends among them."""
        parts = (step / (self.steps - 1) for step in range(self.steps))
        if self.scale == "log":
            found = [self.start * math.exp(math.log(self.to / self.start) * part) for part in parts]
        else:
            found = [self.start + (self.to - self.start) * part for part in parts]
        return tuple(dict.fromkeys(round(x) if self.whole else float(f"{x:.{_DIGITS}g}") for x in found))


class Spec(Table):
    """The keys of the file; `name` is the file's unless it says so."""

    name: str
    accelerator: _Texts
    models: _Texts
    bits: _Texts
    ends: int = 8
    batch: Annotated[tuple[_Images, ...], _Listed, Field(min_length=1), Rule("a list of integers", "[1]")] = (1,)
    energy: Annotated[tuple[str, ...], _Listed, Rule("a list of texts", '["..."]')] = ()
    search: Literal["grid", "random"] = "grid"
    points: Annotated[int, Field(ge=1, le=MOST), Rule(f"an integer of 1 to {MOST}", "1000")] | None = None
    seed: Annotated[int, Field(ge=0), Rule("an integer of 0 or more", "0")] = 0
    objectives: Annotated[
        tuple[Objective, ...],
        _Listed,
        Field(min_length=1),
        Rule("a list of latency, energy, area, size", '["latency"]'),
    ] = ("latency", "energy", "area")
    apart: Annotated[
        tuple[Common, ...], _Listed, Rule("a list of accelerator, model, bits, batch, energy", '["model"]')
    ] = (
        "model",
        "bits",
        "batch",
        "energy",
    )
    axes: Mapping[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _of_one_mind(self) -> "Spec":
        if (self.search == "random") != (self.points is not None):
            got = "none" if self.points is None else str(self.points)
            raise ValueError(f'points must be given where search is "random", and only there, got {got}; write both')
        for name in self.bits:
            uniform = UNIFORM.fullmatch(name)
            if not (all(legal(int(width)) for width in uniform.groups()) if uniform else Path(name).suffix):
                raise ValueError(f'bits must be 1..8 or 32 each, or a file, got {shown(name)}; write bits = "w4a4"')
        if not legal(self.ends):
            raise ValueError(f"ends must be 1..8 or 32, got {self.ends}; write ends = 8")
        for key in ("accelerator", "models", "bits", "batch", "energy", "objectives", "apart"):
            values = getattr(self, key)
            for value in values:
                if values.count(value) > 1:
                    raise ValueError(f"{key} must list each once, got {shown(value)} twice; leave one out")
        return self


def read(path: Path) -> tuple[Spec, Space]:
    """The sweep in the file `path`, and its points; raises BadFile in one line.

    Files that it names are looked for beside it, then from here.
    """
    values = load(path, "a sweep")
    spec = checked(Spec, {"name": path.stem, **values}, str(path))
    named = ("accelerator", "models", "bits", "energy")
    files = {key: tuple(_beside(path, name) for name in getattr(spec, key)) for key in named}
    spec = spec.model_copy(update=files)
    return spec, space(spec, str(path))


def space(spec: Spec, where: str) -> Space:
    """The points of `spec`, which stands in the file `where`; raises BadFile."""
    axes = _axes(spec.axes, where)
    fixed = {"accelerator": spec.accelerator, "model": spec.models, "bits": spec.bits, "batch": spec.batch}
    made = Space(
        (*(Axis.of(key, values) for key, values in fixed.items()), *(axis for axis in axes if not axis.numeric)),
        tuple(axis for axis in axes if axis.numeric),
        Axis.of("energy", spec.energy or ("",)),
    )
    if spec.search == "grid" and made.size > MOST:
        raise BadFile(f'{where}: a grid must have at most {MOST:,} points, got {made.size:,}; write search = "random"')
    if spec.points is not None and spec.points > made.size:
        raise BadFile(
            f"{where}: points must be at most those of the grid, {made.size:,}, got {spec.points:,}; lower it"
        )
    return made


def _beside(spec: Path, name: str) -> str:
    there = spec.parent / name
    return str(there) if Path(name).suffix and there.is_file() else name


def _axes(tree: Mapping[str, Any], where: str) -> list[Axis]:
    axes, seen = [], set()
    for text, value in flat(tree, lambda table: "from" in table or "to" in table):
        keys = tuple(key.strip() for key in text.split(","))
        for key in keys:
            if key in FIXED:
                raise BadFile(
                    f"{where}: axes must be keys of an accelerator's file, got {key}; its place is above them"
                )
            if key in seen:
                raise BadFile(f"{where}: axes must give each key once, got {key} twice; leave one out")
            seen.add(key)
        axes.append(Axis(keys, _choices(value, keys, f"axes.{text}", where)))
    return axes


def _choices(value: Any, keys: tuple[str, ...], name: str, where: str) -> tuple[tuple[Any, ...], ...]:
    """The choices of an axis, each as a tuple of one value per key."""
    if isinstance(value, Mapping):
        value = list(checked(Range, value, where, (name,)).values())
    if not isinstance(value, list) or not value:
        raise BadFile(f"{where}: {name} must be a list of values or a range, got {shown(value)}; write [16, 32]")
    found = []
    for one in value:
        choice = tuple(one) if isinstance(one, list) else (one,) * len(keys)
        if len(choice) != len(keys) or not all(isinstance(each, bool | int | float | str) for each in choice):
            raise BadFile(f"{where}: {name} must list values, or lists of one per key, got {shown(one)}; write it anew")
        found.append(choice)
    seen = set()
    for choice in found:
        if choice in seen:
            raise BadFile(f"{where}: {name} must list each value once, got {shown(choice[0])} twice; leave one out")
        seen.add(choice)
    return tuple(found)
