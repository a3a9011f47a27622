"""Which float values of a mixed graph share one integer grid, and what that grid is for (S17).

Values that a layout operator, a sum or a concat joins are one domain: what is added needs one scale. A product's result,
the result of an island and that of a scaling start domains of their own. The kind of a domain says who reads it:

- `quantizer`: quantizers of one and the same per-tensor grid, so that its values may be on that grid at once;
- `scores`: softmax alone; `gelu`: GELU alone;
- `stream`: activations are added up in it: the residual stream;
- `link`: everything else, and the outputs.
"""

from dataclasses import dataclass

from hwsim.errors import HwsimError
from hwsim.graph import Graph, Node
from hwsim.op import Op
from hwsim.ops.add import Add
from hwsim.ops.concat import Concat
from hwsim.ops.dequantize import Dequantize
from hwsim.ops.mean import Mean
from hwsim.ops.mul import Mul
from hwsim.ops.quantize import Quantize
from hwsim.ops.reshape import Reshape
from hwsim.ops.roll import Roll
from hwsim.ops.slice import Slice
from hwsim.ops.transpose import Transpose
from hwsim.spec import QuantSpec, TensorSpec

LAYOUT = (Reshape, Transpose, Slice, Roll)


@dataclass(frozen=True, slots=True)
class Domain:
    """The float values `members` of one grid; `grid` is the one that quantizers ask for, where the kind is that."""

    kind: str
    members: tuple[str, ...]
    readers: tuple[Node, ...]
    grid: QuantSpec | None = None


class Domains:
    """The domains of a mixed graph, and what the lowering asks about its topology."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.maker = {node.name: node for node in graph.nodes}
        self.readers: dict[str, list[Node]] = {}
        for node in graph.nodes:
            for name in dict.fromkeys(node.inputs):
                self.readers.setdefault(name, []).append(node)
        self._of = {name: domain for domain in self._all() for name in domain.members}

    def of(self, name: str) -> Domain:
        """The domain of the float value `name`."""
        return self._of[name]

    def joined(self, node: Node) -> tuple[str, ...]:
        """The float operands of `node` that are on the same grid as its result."""
        if not isinstance(node.op, (*LAYOUT, Add, Concat)) or not self._is_float(node.name):
            return ()
        return tuple(name for name in node.inputs if self._is_float(name))

    def adds_constant(self, node: Node) -> bool:
        """Whether `node` adds a constant to one activation: a bias, positions, a mask."""
        return isinstance(node.op, Add) and len(self.joined(node)) == 1

    def is_loose(self, name: str) -> bool:
        """Whether the value is of wide sums that are not on their domain's grid yet: of a product, a mean, a scaling."""
        node = self.maker.get(name)
        if node is None:
            return False
        if isinstance(node.op, Dequantize):
            source = self.maker.get(node.inputs[0])
            return source is not None and type(source.op).gemm is not Op.gemm
        return isinstance(node.op, Mean | Mul) or (self.adds_constant(node) and self.is_loose(self.joined(node)[0]))

    def _is_float(self, name: str) -> bool:
        spec = self.graph.specs[name]
        return spec.quant is None and spec.batched

    def _all(self) -> list[Domain]:
        parent = {name: name for name in self.graph.specs if self._is_float(name)}

        def root(name: str) -> str:
            while parent[name] != name:
                parent[name] = parent[parent[name]]
                name = parent[name]
            return name

        for node in self.graph.nodes:
            for name in self.joined(node):
                parent[root(name)] = root(node.name)
        members: dict[str, list[str]] = {}
        for name in parent:
            members.setdefault(root(name), []).append(name)
        return [self._domain(tuple(group)) for group in members.values()]

    def _domain(self, members: tuple[str, ...]) -> Domain:
        inside = set(members)
        reading = [node for name in members for node in self.readers.get(name, ())]
        readers = tuple(node for node in reading if not inside & set(self.joined(node)))
        makers = [self.maker[name] for name in members if name in self.maker]
        if any(isinstance(node.op, Concat) or len(self.joined(node)) > 1 for node in makers):
            return Domain("stream", members, readers)
        output = bool(inside & set(self.graph.outputs))
        fixed = any(self.adds_constant(node) and not self.is_loose(node.name) for node in makers)
        grids = {node.op.spec for node in readers if isinstance(node.op, Quantize)}
        ends = {type(node.op).__name__.lower() for node in readers}
        if not output and ends == {"quantize"} and len(grids) == 1 and not fixed:
            (grid,) = grids
            if isinstance(grid, QuantSpec) and grid.axis is None:
                return Domain("quantizer", members, readers, grid)
        kind = {frozenset({"softmax"}): "scores", frozenset({"gelu"}): "gelu"}.get(frozenset(ends), "link")
        return Domain("link" if output else kind, members, readers)


def moved_axis(op: Op, shape: tuple[int, ...], axis: int) -> int | None:
    """Where the channel axis of a tensor goes under a layout operator; None where it does not stay an axis."""
    label = QuantSpec(8, True, (1.0,) * shape[axis], (0,) * shape[axis], axis)
    try:
        quant = op.infer((TensorSpec(shape, label),)).quant
    except (HwsimError, ValueError):
        return None
    return None if quant is None else quant.axis
