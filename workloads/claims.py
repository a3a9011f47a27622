"""Published figures: what was printed, where, for which model and bits, and how a formula of ours decides it.

The figures are in `claims.csv` beside this file, one row each, values as printed. Its first nine columns are the figure
(`source` to `status`), the others say how it is decided:
  kind     total (of a convention), group:NAME (of one group), ratio (full precision over quantized), parameters, arithmetic
           (an expression of printed numbers); or measurement (it takes a run, or hardware), or undecided.
  of       the model that is traced (`workloads.models`) or the network that is built from a table (`workloads.topologies`);
           `NAME at w2a2` sets the widths that the source does not name; a total without any is that of the float model.
  rule     a convention with its options, `qvit_table attention_bits=8`, or the expression.
  reading  who says that the figure follows this rule: printed (its authors), fitted or inferred (we).
  note     why it is off, what it would take to decide it, or what else a reader must know.
"""

import csv
import dataclasses
import functools
import re
from dataclasses import dataclass
from pathlib import Path

from hwsim import catalog
from hwsim.errors import BadFile, HwsimError

SHIPPED = Path(__file__).with_name("claims.csv")
OWN = "own computation"
"""How the sources of our own figures begin; they are kept to see that none moves."""

UNITS = {
    "x": 1.0,
    "%": 1.0,
    "FPS": 1.0,
    "MAC": 1.0,
    "OP": 1.0,
    "bit-op": 1.0,
    "param": 1.0,
    "byte": 1.0,
    "K": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "KB": 1e3,
    "MB": 1e6,
    "GB": 1e9,
    "KiB": 2.0**10,
    "MiB": 2.0**20,
    "GiB": 2.0**30,
}
"""Units of printed figures, with their factors over operations, bytes or ratios."""

BYTES = ("byte", "KB", "MB", "GB", "KiB", "MiB", "GiB")
"""Those of UNITS that are of sizes."""

KINDS = ("total", "group", "ratio", "parameters", "arithmetic", "measurement", "undecided")
READINGS = ("printed", "fitted", "inferred")
STATUSES = ("printed", "secondary", "derived")
METRICS = (
    *("OPs", "FLOPs", "MACs", "BOPs", "BOPS", "BitOPs", "size", "params", "top1", "frame_rate"),
    *("speedup", "reduction", "saving", "ratio"),
)
"""Words of which every metric has one: `theoretical_speedup`, `MACs_qkv`, `size_reduction_low`."""

_NUMBER = re.compile(r"(?:about )?(\d+(?:\.(\d+))?)")
_OF = re.compile(r"(\S*)(?: at w(\d+)a(\d+))?")


@dataclass(frozen=True, slots=True)
class Claim:
    """One row. `value` is the figure as printed, perhaps with `about` before it; `wbits` and `abits` are widths, "" where
    the source names none, or a word where widths are mixed. `status`: `printed` in `source` itself, `secondary`, quoted by
    others, or `derived` by us."""

    source: str
    model: str
    wbits: str
    abits: str
    metric: str
    value: str
    unit: str
    convention: str = ""
    status: str = "printed"
    kind: str = "undecided"
    of: str = ""
    rule: str = ""
    reading: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        _check(self)

    @property
    def number(self) -> float:
        """The figure as a number, in `unit`."""
        return float(_matched(self.value)[1])

    @property
    def decimals(self) -> int:
        """How many decimals are printed: 2 of `6.14`."""
        return len(_matched(self.value)[2] or "")

    @property
    def own(self) -> bool:
        """Whether the figure is our own."""
        return self.source.startswith(OWN)

    @property
    def decided(self) -> bool:
        """Whether a formula decides it."""
        return self.kind not in ("measurement", "undecided")

    @property
    def subject(self) -> tuple[str, str, str]:
        """The name in the column `of`, and the widths that it sets: `("resnet18_v1", "", "")`."""
        found = _OF.fullmatch(self.of)
        if found is None:
            raise HwsimError(f"claim: of must read NAME or NAME at wXaY, got {self.of!r}; name one model")
        name, wbits, abits = found.groups("")
        return name, wbits, abits

    def __str__(self) -> str:
        """`Q-ViT (arXiv 2210.06707) abstract: 6.14x, DeiT-S W4A4`, as a table shows it."""
        widths = f" W{self.wbits}A{self.abits}" if self.wbits else ""
        return f"{self.source}: {self.value}{self.unit}{f', {self.model}{widths}' if self.model else ''}"


_FIELDS = tuple(field.name for field in dataclasses.fields(Claim))
_REQUIRED = tuple(field.name for field in dataclasses.fields(Claim) if field.default is dataclasses.MISSING)


@functools.cache
def shipped() -> tuple[Claim, ...]:
    """The claims of `claims.csv`, in its order."""
    return read(SHIPPED)


def read(path: Path) -> tuple[Claim, ...]:
    """The claims in the file `path`; raises BadFile with the line where a row is no claim.

    Columns may stand in any order and those with a default be left out; lines that begin with `#` are remarks.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"{path}: cannot be read as claims, got {error}; name a CSV file") from None
    rows = [
        (f"{path}:{number}", next(csv.reader([line.strip()])))
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.startswith("#")
    ]
    if not rows:
        raise BadFile(f"{path}: must begin with the names of columns, got nothing; {', '.join(_REQUIRED)} are needed")
    (where, columns), *rest = rows
    _check_columns(columns, where)
    if not rest:
        raise BadFile(f"{path}: must hold claims, got the names of columns alone; add a row for each figure")
    return tuple(_claim(columns, cells, where) for where, cells in rest)


def _check_columns(columns: list[str], where: str) -> None:
    for column in columns:
        if column not in _FIELDS:
            raise BadFile(f"{where}: {catalog.unknown('column', column, _FIELDS)}")
    if missing := [column for column in _REQUIRED if column not in columns]:
        raise BadFile(f"{where}: columns {', '.join(_REQUIRED)} are needed, got no {', '.join(missing)}; add them")


def _claim(columns: list[str], cells: list[str], where: str) -> Claim:
    if len(cells) != len(columns):
        raise BadFile(f"{where}: a row must have {len(columns)} cells, got {len(cells)}; quote cells with a comma")
    row = {column: cell.strip() for column, cell in zip(columns, cells, strict=True)}
    try:
        return Claim(**{column: cell for column, cell in row.items() if cell or column in _REQUIRED})
    except HwsimError as error:
        raise BadFile(f"{where}: {error}") from None


def _matched(value: str) -> re.Match[str]:
    found = _NUMBER.fullmatch(value)
    if found is None or not float(found[1]):
        raise HwsimError(
            f"claim: value must be a positive number as printed, got {value!r}; write digits alone, such as 6.14"
        )
    return found


def _check(claim: Claim) -> None:
    """Raise HwsimError for the first thing that is amiss."""
    _matched(claim.value)
    if not claim.unit:
        raise HwsimError(f"claim: a figure must have a unit, got none for {claim.value}; one of {', '.join(UNITS)}")
    if claim.unit not in UNITS:
        raise catalog.unknown("unit", claim.unit, UNITS)
    if not any(word in claim.metric for word in METRICS):
        known = ", ".join(METRICS)
        raise HwsimError(
            f"claim: a metric must have one of the words {known}, got {claim.metric!r}; say what is counted"
        )
    for width in (claim.wbits, claim.abits):
        if width.isdigit() and width not in ("1", "2", "3", "4", "5", "6", "7", "8", "32"):
            raise HwsimError(f"claim: bits must be 1..8 or 32, got {width}; leave them empty where none are named")
    for field, known_words in (("status", STATUSES), ("kind", KINDS), ("reading", ("", *READINGS))):
        word = getattr(claim, field).partition(":")[0]
        if word not in known_words:
            raise catalog.unknown(field, word, known_words)
    kind, _, group = claim.kind.partition(":")
    if (kind == "group") != bool(group):
        raise HwsimError(f"claim: kind must be group:NAME for one group, got {claim.kind!r}; as in group:qkv")
    subject, *_ = claim.subject
    of_a_model = claim.decided and claim.kind != "arithmetic"
    if of_a_model and not subject:
        raise HwsimError(f"claim: kind {claim.kind} is decided of a model, got none; name one in the column of")
    if claim.decided and claim.kind != "parameters" and not claim.rule:
        raise HwsimError(f"claim: kind {claim.kind} is decided by a rule, got none; name one in the column rule")
