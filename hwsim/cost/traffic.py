"""Traffic: the bytes that cross between chip and DRAM, node by node, and the arithmetic done for each of them.

Without a buffer every node but a view reads each operand once and writes its result once (a view reads what it looks at
when it is read). With one, whole values stay on chip: those are kept whose sizes, at every node of their lives, fit into
the buffer together, tried in the order of their lives, the shortest first. What is kept is neither written nor read; an
input that is kept is read once, an output that is kept written once. Constants (weights, biases, norms, tables of
positions) pass by and take no room: each node reads its own, once for a batch; their scales are not counted. A batch goes
through the model node by node, so the values of all its images are alive together.

Widths are those of memory.py: packed codes, floats and accumulators of 32 bits. Nothing is tiled and no nodes are fused,
so figures are those of the graph as it is traced, where quantize and dequantize are nodes of their own: an upper bound for
hardware that fuses them into the products. Intensity is MAC (or BOP: MAC times both widths) per byte, as in the roofline
model (Williams, Waterman and Patterson, Communications of the ACM 52(4), 2009).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hwsim.cost.groups import VIEWS, group_of
from hwsim.cost.memory import Life, Lives, lives_of
from hwsim.errors import HwsimError
from hwsim.graph import Graph, Node, op_name


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one node moves, in bytes, and computes, for the batch. `makes` is the size of its result for one image, moved
    or not; 0 for a view."""

    node: str
    group: str
    makes: float = 0
    constants: float = 0
    reads: float = 0
    writes: float = 0
    macs: int = 0
    bops: int = 0

    @property
    def bytes(self) -> float:
        """All that is moved."""
        return self.constants + self.reads + self.writes

    @property
    def macs_per_byte(self) -> float:
        """MACs for each byte moved; 0 where none is."""
        return self.macs / self.bytes if self.bytes else 0

    @property
    def bops_per_byte(self) -> float:
        """BOPs for each byte moved; 0 where none is."""
        return self.bops / self.bytes if self.bytes else 0


def traffic(graph: Graph, buffer_bytes: float = 0, batch: int = 1) -> tuple[Traffic, ...]:
    """One row per node of `graph`, in its order."""
    if batch < 1 or buffer_bytes < 0:
        raise HwsimError(
            f"traffic: batch must be 1 or more and the buffer 0 or more, got {batch} and {buffer_bytes:g}; mend them"
        )
    found = lives_of(graph)
    kept = _kept(found.lives, buffer_bytes / batch, len(graph.nodes))
    outputs = {found.owner[name] for name in graph.outputs if name in found.owner}
    read: set[str] = set()
    return tuple(_moved(graph, node, found, kept, outputs, read, batch) for node in graph.nodes)


def summed(rows: Iterable[Traffic], name: str = "", group: str = "") -> Traffic:
    """The sum of `rows`, as one row."""
    rows = tuple(rows)
    return Traffic(
        name,
        group,
        makes=sum(row.makes for row in rows),
        constants=sum(row.constants for row in rows),
        reads=sum(row.reads for row in rows),
        writes=sum(row.writes for row in rows),
        macs=sum(row.macs for row in rows),
        bops=sum(row.bops for row in rows),
    )


def by_group(rows: Iterable[Traffic]) -> dict[str, Traffic]:
    """The sum per group, in the order of their first node."""
    groups: dict[str, list[Traffic]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    return {group: summed(found, group=group) for group, found in groups.items()}


def _kept(lives: Mapping[str, Life], room: float, nodes: int) -> frozenset[str]:
    """Names of the values that stay in `room` bytes."""
    used = [0.0] * (nodes + 1)
    kept = []
    for name, life in sorted(lives.items(), key=lambda item: (item[1].end - item[1].start, item[1].start)):
        span = range(life.start, min(life.end, nodes) + 1)
        if max(used[i] for i in span) + life.bytes <= room:
            kept.append(name)
            for i in span:
                used[i] += life.bytes
    return frozenset(kept)


def _moved(
    graph: Graph, node: Node, found: Lives, kept: frozenset[str], outputs: set[str], read: set[str], batch: int
) -> Traffic:
    group = group_of(node.name, node.op)
    if op_name(node.op) in VIEWS and found.owner[node.name] != node.name:
        return Traffic(node.name, group)
    constants = reads = 0.0
    for name in dict.fromkeys(node.inputs):
        owner = found.owner.get(name)
        spec = graph.specs[name]
        if owner is None:
            constants += spec.elements * spec.bits / 8
        elif owner not in kept:
            reads += spec.elements * found.lives[owner].bits / 8
        elif owner in graph.inputs and owner not in read:
            reads += found.lives[owner].bytes
            read.add(owner)
    made = found.lives[node.name].bytes
    writes = made if node.name not in kept or node.name in outputs else 0
    gemm = node.op.gemm(graph.inputs_of(node), graph.specs[node.name])
    macs = batch * gemm.macs if gemm else 0
    bops = macs * gemm.a_bits * gemm.b_bits if gemm else 0
    return Traffic(node.name, group, made, constants, reads * batch, writes * batch, macs, bops)
