"""Everything that the cost model knows of one graph, in one value: costs by convention, actions, storage, memory, traffic."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hwsim.cost.actions import Counted, actions
from hwsim.cost.convention import Convention
from hwsim.cost.memory import Attention, Peak, attention_memory, peak_activations
from hwsim.cost.storage import Stored, storage
from hwsim.cost.table import CostTable, tally
from hwsim.cost.traffic import Traffic, by_group, summed, traffic
from hwsim.cost.work import Work, published_parameters, with_bits, work
from hwsim.graph import Graph
from hwsim.spec import FLOAT_BITS


@dataclass(frozen=True, slots=True)
class Account:
    """`floats` are the `tables` at full precision; `traffic` is that of `batch` images with a buffer of `buffer_bytes`, all
    else is for one image."""

    rows: tuple[Work, ...]
    tables: tuple[CostTable, ...]
    floats: tuple[CostTable, ...]
    actions: tuple[Counted, ...]
    stored: tuple[Stored, ...]
    peak: Peak
    attentions: tuple[Attention, ...]
    traffic: tuple[Traffic, ...]
    buffer_bytes: float = 0
    batch: int = 1

    @property
    def parameters(self) -> int:
        """Parameters of the published architecture."""
        return published_parameters(self.rows)

    @property
    def added_parameters(self) -> int:
        """Parameters of norms that the method puts on q and k."""
        return sum(row.parameters for row in self.rows if row.role == "qk_norm")

    @property
    def parameter_bytes(self) -> float:
        """What published rules call the size."""
        return sum(s.bytes for s in self.stored if not s.extra)

    @property
    def extra_bytes(self) -> float:
        """What they leave out: scales, zero points, constants of integer operators."""
        return sum(s.bytes for s in self.stored if s.extra)

    def as_json(self) -> dict[str, Any]:
        """All of it as a JSON object."""
        return {
            "parameters": self.parameters,
            "parameters_with_method": self.parameters + self.added_parameters,
            "parameter_bytes": self.parameter_bytes,
            "extra_bytes": self.extra_bytes,
            "stored": [{**dataclasses.asdict(s), "bytes": s.bytes} for s in self.stored],
            "in_floats": {table.name: table.total for table in self.floats},
            "actions": [dataclasses.asdict(counted) for counted in self.actions],
            "peak_activation_bytes": self.peak.bytes,
            "peak_activation_node": self.peak.node,
            "attention_bytes": [dataclasses.asdict(attention) for attention in self.attentions],
            "buffer_bytes": self.buffer_bytes,
            "batch": self.batch,
            "traffic": {
                "total": _of(summed(self.traffic)),
                "groups": {group: _of(of) for group, of in by_group(self.traffic).items()},
                "nodes": {of.node: _of(of) for of in self.traffic},
            },
            "nodes": [self._node(index, row) for index, row in enumerate(self.rows)],
        }

    def _node(self, index: int, row: Work) -> dict[str, Any]:
        facts = {"node": row.node, "op": row.op, "group": row.group, "role": row.role, "shape": row.shape}
        return facts | {"costs": {table.name: table.amounts[index] for table in self.tables}}


def account(graph: Graph, conventions: Sequence[Convention] = (), buffer_bytes: float = 0, batch: int = 1) -> Account:
    """The account of `graph`; raises HwsimError where a convention does not define its widths."""
    rows = work(graph)
    tables = tuple(tally(rows, convention) for convention in conventions)
    floats = with_bits(rows, FLOAT_BITS, FLOAT_BITS)
    return Account(
        rows,
        tables,
        tuple(tally(floats, convention) for convention in conventions),
        actions(rows),
        storage(rows),
        peak_activations(graph),
        attention_memory(rows),
        traffic(graph, buffer_bytes, batch),
        buffer_bytes,
        batch,
    )


def _of(moved: Traffic) -> Mapping[str, float]:
    """The figures of a row of traffic."""
    named = {"makes": moved.makes, "constants": moved.constants, "reads": moved.reads, "writes": moved.writes}
    return named | {
        "bytes": moved.bytes,
        "macs": moved.macs,
        "bops": moved.bops,
        "macs_per_byte": moved.macs_per_byte,
        "bops_per_byte": moved.bops_per_byte,
    }
