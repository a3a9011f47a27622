"""The grid of conventions that an audit searches: which values each option takes.

Every convention keeps its own defaults; the grid's values come to them. `own` is the width in the model, `model` are the
widths of its weights and activations between the ends. Kinds of work may count on one side of a ratio alone (`quantized`,
`float`), which no table should do, and some must have done. A TOML file may give other values, key by key:

    ends_bits = ["own", 32]
    rounding = ["none", "round:1:G"]
    [elementwise]
    softmax = [0, 3, 5]
"""

import dataclasses
import itertools
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hwsim import catalog
from hwsim.cost.elementwise import KINDS, Elementwise
from hwsim.cost.groups import ENDS
from hwsim.cost.rounding import Rounding, parse
from hwsim.cost.search.rules import shipped
from hwsim.errors import BadFile, HwsimError
from hwsim.spec import FLOAT_BITS

SIDES = ("both", "quantized", "float", "none")
"""On which sides of a ratio a kind of work counts."""

OWN, MODEL = "own", "model"

MOST = 5_000_000
"""Combinations of settings and weightings of one rule, which are held in memory at once."""

Values = tuple[Any, ...]


def _options() -> dict[str, Values]:
    return {
        "ends": (ENDS, *((group,) for group in ENDS)),
        "ends_bits": (OWN, MODEL, 8, FLOAT_BITS),
        "attention_bits": (OWN, 8, FLOAT_BITS),
        "omit": ((),),
        "flops_per_mac": (1, 2),
        "weights_bits": (OWN,),
        "rest_bits": (8, FLOAT_BITS),
        "count_rest": (True, False),
        "whole_millions": (True, False),
    }


def _weights() -> dict[str, Values]:
    return {
        "layernorm": (0, 1, 4, 5),
        "softmax": (0, 3, 4, 5),
        "gelu": (0, 1, 8),
        "residual": (0, 1),
        "bias": (0, 1),
        "qk_norm": (0, 1, 4),
    }


@dataclass(frozen=True, slots=True)
class Grid:
    """Values of the conventions' `options`, where they have them; of `elementwise` weights; the sides on which attention
    products and elementwise work count; and how entries are rounded, for ratios (a single entry is as precise as the
    figure prints it)."""

    options: Mapping[str, Values] = field(default_factory=_options)
    elementwise: Mapping[str, Values] = field(default_factory=_weights)
    attention_on: Values = SIDES
    elementwise_on: Values = ("both", "quantized")
    rounding: Values = (
        Rounding(),
        *(Rounding(how, decimals, "G") for how in ("round", "truncate") for decimals in (1, 2)),
    )

    def weightings(self, defaults: Mapping[str, float], settings: int) -> list[list[float]]:
        """Every combination of elementwise weights, a convention's `defaults` among the values; the defaults' is first.

        Raises HwsimError where with so many `settings` there would be more than MOST combinations.
        """
        values = [tuple(dict.fromkeys((weight, *self.elementwise.get(kind, ())))) for kind, weight in defaults.items()]
        size = settings * math.prod(map(len, values))
        if size > MOST:
            raise HwsimError(
                f"grid: at most {MOST:,} combinations per rule can be tried, got {size:,}; give fewer values"
            )
        return [list(chosen) for chosen in itertools.product(*values)]


def read_grid(path: Path) -> Grid:
    """The grid with the values that a TOML file gives; raises BadFile in one line."""
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadFile(f"{path}: cannot be read as a grid, got {error}; give a TOML file of lists") from None
    grid = Grid()
    options, sides = dict(grid.options), {"attention_on", "elementwise_on"}
    changes: dict[str, Any] = {}
    for key, value in content.items():
        if key == "elementwise":
            changes[key] = {**grid.elementwise, **_elementwise(value, path)}
        elif key not in (*options, *sides, "rounding"):
            raise _unknown(path, key, (*options, *sorted(sides), "rounding", "elementwise"))
        elif key == "rounding":
            changes[key] = tuple(_rounding(text, path) for text in _list(value, key, path))
        elif key in sides:
            changes[key] = tuple(_side(name, key, path) for name in _list(value, key, path))
        else:
            options[key] = tuple(_option(item, key, path) for item in _list(value, key, path))
    return dataclasses.replace(grid, options=options, **changes)


def _elementwise(content: Any, path: Path) -> dict[str, Values]:
    if not isinstance(content, dict):
        raise BadFile(f"{path}: elementwise must be a table of lists, got {content!r}; write softmax = [0, 4] below it")
    for kind in content:
        if kind not in KINDS:
            raise _unknown(path, f"elementwise.{kind}", [f"elementwise.{known}" for known in KINDS])
    return {
        kind: tuple(_weight(weight, kind, path) for weight in _list(weights, f"elementwise.{kind}", path))
        for kind, weights in content.items()
    }


def _list(value: Any, key: str, path: Path) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise BadFile(f"{path}: {key} must be a list of values, got {value!r}; write {key} = [...]")
    return value


def _weight(value: Any, kind: str, path: Path) -> float:
    parts: dict[str, Any] = {kind: value}
    try:
        weight: float = getattr(Elementwise(**parts), kind)
    except HwsimError as error:
        raise BadFile(f"{path}: {error}") from None
    return weight


def _side(name: Any, key: str, path: Path) -> str:
    if name not in SIDES:
        raise BadFile(f"{path}: {key} must be of {', '.join(SIDES)}, got {name!r}; both is what a table should do")
    return str(name)


def _option(value: Any, key: str, path: Path) -> Any:
    """A value of an option that at least one shipped convention takes; lists become tuples."""
    if key.endswith("_bits") and value in (OWN, MODEL):
        return value
    value = tuple(value) if isinstance(value, list) else value
    refusals = []
    for rule in shipped():
        if hasattr(rule, key):
            try:
                dataclasses.replace(rule, **{key: value})
            except HwsimError as error:
                refusals.append(error)
            else:
                return value
    raise BadFile(f"{path}: {refusals[0]}")


def _rounding(text: Any, path: Path) -> Rounding:
    try:
        return parse(str(text))
    except HwsimError as error:
        raise BadFile(f"{path}: {error}") from None


def _unknown(path: Path, key: str, known: Any) -> BadFile:
    return BadFile(f"{path}: unknown key, got {key!r}; known, nearest first: {', '.join(catalog.nearest(key, known))}")
