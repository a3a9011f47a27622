"""Conventions that users write as TOML, without touching the package: a shipped one with other options, or a formula.

    base = "bireal_ladder"       # options below change its defaults
or
    formula = "macs * w * a"     # what one product costs (kind "operations"), or bytes per row (kind "size")
    kind, unit, status, source, bits
and in both: name, the options of the convention, and the tables [elementwise] and [rounding]. Symbols of a formula are
  operations: macs, batch, m, k, n (one product is batch times m x k by k x n), a, w (widths of activations and weights)
  size: weights, parameters (stored numbers of one row), w, rest (their widths)
where widths are those that the options give. A formula must be in proportion to batch, or to weights and parameters, so that
one that forgets the heads of attention is told.
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hwsim import catalog
from hwsim.cost import options
from hwsim.cost.convention import CATALOGUE, Convention
from hwsim.cost.formula import Formula, parse
from hwsim.cost.operations import Operations
from hwsim.cost.sizes import Sizes
from hwsim.errors import BadFile, HwsimError
from hwsim.op import Gemm
from hwsim.spec import FLOAT_BITS

SYMBOLS = ("macs", "batch", "m", "k", "n", "a", "w")
SIZE_SYMBOLS = ("weights", "parameters", "w", "rest")
KINDS = ("operations", "size")
STATUSES = ("user", "printed", "fitted", "inferred")


@dataclass(frozen=True, slots=True, kw_only=True)
class FormulaOperations(Operations):
    """A rule of operations whose `formula`, of SYMBOLS, says what one product costs."""

    formula: Formula
    unit: str = "OP"  # type: ignore[misc]  # of each rule its own: a file is no class
    status: str = "user"  # type: ignore[misc]
    bits: tuple[int, ...] = ()  # type: ignore[misc]
    source: str = ""
    file: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        Operations.__post_init__(self)
        _check_stated(self)

    @property
    def subject(self) -> str:
        """Its file and its name."""
        return f"{self.file}: {self.name}" if self.file else self.name

    def product(self, gemm: Gemm) -> float:
        """The value of the formula."""
        values = (gemm.macs, gemm.batch, gemm.m, gemm.k, gemm.n, gemm.a_bits, gemm.b_bits)
        return self.formula(dict(zip(SYMBOLS, values, strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class FormulaSize(Sizes):
    """A rule of sizes whose `formula`, of SIZE_SYMBOLS, says how many bytes one row stores."""

    formula: Formula
    status: str = "user"  # type: ignore[misc]
    bits: tuple[int, ...] = ()  # type: ignore[misc]
    source: str = ""
    file: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        Sizes.__post_init__(self)
        _check_stated(self)

    @property
    def subject(self) -> str:
        """Its file and its name."""
        return f"{self.file}: {self.name}" if self.file else self.name

    def stored(self, weights: int, parameters: int, weights_bits: int, rest_bits: int) -> float:
        """The value of the formula."""
        return self.formula({"weights": weights, "parameters": parameters, "w": weights_bits, "rest": rest_bits})


Written = FormulaOperations | FormulaSize
"""Conventions whose formula a user wrote."""


def _check_stated(convention: Written) -> None:
    """Raise HwsimError for a status or a unit that tables cannot show."""
    if convention.status not in STATUSES:
        raise HwsimError(
            f"{convention.subject}: status must be one of {', '.join(STATUSES)}, got {convention.status!r}; "
            "user is a rule of your own"
        )
    if not convention.unit:
        raise HwsimError(f"{convention.subject}: unit must be a word, got none; OP is what it is if left out")


def load(path: Path) -> Convention:
    """The convention that a TOML file writes; raises BadFile, which names the file, where it is not one."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"{path}: cannot be read as a convention, got {error}; give a TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise BadFile(f"{path}: must be TOML, got {error}; see docs/conventions.md") from None
    try:
        convention = _convention(table, path.stem)
    except HwsimError as error:
        raise BadFile(f"{path}: {error}") from None
    return replace(convention, file=path) if isinstance(convention, Written) else convention


def _convention(table: dict[str, Any], stem: str) -> Convention:
    if ("base" in table) == ("formula" in table):
        got = "both" if "base" in table else "neither"
        raise HwsimError(f"convention: must have one of base and formula, got {got}; base changes a shipped convention")
    label = _text(table, "name", stem)
    convention = _based(table, label) if "base" in table else _formula(table, label)
    known = ("name", *_own(convention), *(option for option in options.of(type(convention)) if option != "label"))
    for key in table:
        if key not in known:
            raise catalog.unknown("key", key, known)
    rest = {key: value for key, value in table.items() if key not in ("name", *_own(convention))}
    return options.changed(convention, options.flat(rest))


def _own(convention: Convention) -> tuple[str, ...]:
    """The keys of a file that are no options of its convention."""
    return ("formula", "kind", "bits") if isinstance(convention, Written) else ("base",)


def _based(table: dict[str, Any], label: str) -> Convention:
    convention: Convention = catalog.find(CATALOGUE, _text(table, "base"), "base")(label=label)
    return convention


def _formula(table: dict[str, Any], label: str) -> Convention:
    kind = table.get("kind", KINDS[0])
    if kind not in KINDS:
        raise HwsimError(f"kind: must be {' or '.join(KINDS)}, got {kind!r}; size is for stored bytes")
    bits = table.get("bits", [])
    if not isinstance(bits, list) or any(type(b) is not int or not (1 <= b <= 8 or b == FLOAT_BITS) for b in bits):
        raise HwsimError(f"bits: must be a list of widths, 1..8 or 32, got {bits!r}; leave it out for all")
    text = _text(table, "formula")
    if kind == "size":
        formula = _in_proportion(parse(text, SIZE_SYMBOLS), _FIVE_ROWS)
        return FormulaSize(label=label, formula=formula, bits=tuple(bits))
    formula = _in_proportion(parse(text, SYMBOLS), _FIVE_PRODUCTS)
    return FormulaOperations(label=label, formula=formula, bits=tuple(bits))


_FIVE_PRODUCTS = {"macs": 5, "batch": 5, "m": 1, "k": 1, "n": 1, "a": 1, "w": 1}
_FIVE_ROWS = {"weights": 5, "parameters": 5, "w": 1, "rest": 1}


def _in_proportion(formula: Formula, five: Mapping[str, int]) -> Formula:
    """`formula`, if five equal layers cost five times as much as one, at some sizes and widths."""
    sizes = {"macs": 13 * 7 * 11, "batch": 1, "m": 13, "k": 7, "n": 11, "weights": 77, "parameters": 13}
    for width in (1, 2, 4, 8):
        one = {key: sizes.get(key, width) for key in five}
        try:
            cost, cost_of_five = formula(one), formula({key: five[key] * value for key, value in one.items()})
        except (ArithmeticError, ValueError):
            continue  # told with the row, where there is one
        if not math.isclose(cost_of_five, 5 * cost, rel_tol=1e-9):
            raise HwsimError(
                f"formula: five equal layers must cost five times as much as one, got {cost_of_five:g} of {cost:g} for "
                f"{formula.text!r}; put it in proportion to {next(key for key in five if five[key] == 5)}"
            )
    return formula


def _text(table: dict[str, Any], key: str, default: str = "") -> str:
    value = table.get(key, default)
    if not isinstance(value, str) or not value:
        raise HwsimError(f"{key}: must be a text, got {value!r}; put it in quotation marks")
    return value
