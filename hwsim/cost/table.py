"""Tallies: rows of work priced by a convention, per node, per group, in total; and ratios of full precision to quantized."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hwsim import catalog
from hwsim.cost import custom, options
from hwsim.cost.convention import CATALOGUE, Convention
from hwsim.cost.groups import GROUPS
from hwsim.cost.work import Rows, Work, with_bits, work
from hwsim.errors import HwsimError
from hwsim.graph import Graph
from hwsim.record import Record
from hwsim.spec import FLOAT_BITS


@dataclass(frozen=True, slots=True)
class CostTable:
    """What each of `rows` costs by the convention called `name`: `amounts`, in the convention's unit."""

    name: str
    convention: Convention
    rows: tuple[Work, ...]
    amounts: tuple[float, ...]

    @property
    def unit(self) -> str:
        """The unit of every amount."""
        return self.convention.unit

    @property
    def total(self) -> float:
        """The sum over all nodes."""
        return sum(self.amounts)

    @property
    def entry(self) -> float:
        """The total as the convention's table would print it."""
        return self.convention.entry(self.total)

    def by_group(self) -> dict[str, float]:
        """The sum per group, for the groups that the model has, in network order."""
        groups: dict[str, float] = {}
        for row, amount in zip(self.rows, self.amounts, strict=True):
            groups[row.group] = groups.get(row.group, 0) + amount
        return {group: groups[group] for group in GROUPS if group in groups}

    def __iter__(self) -> Iterator[tuple[Work, float]]:
        return iter(zip(self.rows, self.amounts, strict=True))

    def records(self, workload: str, tags: tuple[tuple[str, str], ...] = ()) -> tuple[Record, ...]:
        """One record per group and one of the total (at node ""), the metric being the convention's name."""
        source = "computed" if self.convention.status == "printed" else self.convention.status
        values = {**self.by_group(), "": self.total}
        return tuple(
            Record(workload, self.name, value, self.unit, node=node, source=source, tags=tags)
            for node, value in values.items()
        )


def find(name: str) -> type[Convention]:
    """The convention called `name`; raises UnknownName with the known names, nearest first."""
    found: type[Convention] = catalog.find(CATALOGUE, name, "convention")
    return found


def resolve(name: str, changes: Mapping[str, options.Value] | None = None) -> Convention:
    """The convention called `name`, or that of the TOML file `name`, with its options changed as text says.

    Raises UnknownName, BadFile (which names the file), or HwsimError for an option; see `hwsim.cost.options`.
    """
    path = Path(name)
    convention = custom.load(path) if path.suffix == ".toml" or path.is_file() else find(name)()
    return options.changed(convention, changes or {})


def tally(work_or_graph: Graph | Rows, convention: str | Convention) -> CostTable:
    """The cost of a graph, or of rows of work, by a convention or the one of this name with its defaults."""
    rows = work(work_or_graph) if isinstance(work_or_graph, Graph) else tuple(work_or_graph)
    if isinstance(convention, str):
        convention = find(convention)()
    return CostTable(convention.name, convention, rows, convention.amounts(rows))


def entries(work_or_graph: Graph | Rows, convention: str | Convention) -> tuple[float, float]:
    """The convention's table entries at full precision and as quantized."""
    quantized = tally(work_or_graph, convention)
    floats = tally(with_bits(quantized.rows, FLOAT_BITS, FLOAT_BITS), quantized.convention)
    return floats.entry, quantized.entry


def speedup(work_or_graph: Graph | Rows, convention: str | Convention) -> float:
    """The entry at full precision over the quantized one, by one convention."""
    floats, quantized = entries(work_or_graph, convention)
    if quantized == 0:
        raise HwsimError(
            f"speedup: the quantized entry must not be 0, got {quantized} of {floats}; ask for more decimals"
        )
    return floats / quantized
