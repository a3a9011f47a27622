"""integerize: the mixed form with float islands becomes the integer form, in which no float flows (S17).

One walk over the mixed graph. A float value of it is represented by a *wire*: a value of the integer graph, whose codes
mean factor * scale * (q - zero_point) + bias. Products stay; scalings and biases are kept on the wire until the next
Requantize takes them up; each island is replaced by the recipe's integer operator; where a value needs another grid, a
Requantize is put, named after the value and the kind of grid (`blocks.0.attn.mul.scores`). A quantizer whose grid the
value is on already costs nothing.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hwsim.errors import HwsimError, IllegalModel
from hwsim.graph import Graph, Node, build
from hwsim.lower import recipe as recipes
from hwsim.lower.domains import LAYOUT, Domain, Domains
from hwsim.lower.grids import Grids
from hwsim.lower.ranges import Ranges
from hwsim.lower.recipe import Recipe
from hwsim.lower.scales import grid_of, snapped
from hwsim.op import Array, Op
from hwsim.ops.add import Add
from hwsim.ops.concat import Concat
from hwsim.ops.dequantize import Dequantize
from hwsim.ops.encode import Encode
from hwsim.ops.gelu import Gelu
from hwsim.ops.layernorm import LayerNorm
from hwsim.ops.mean import Mean
from hwsim.ops.mul import Mul
from hwsim.ops.quantize import Quantize
from hwsim.ops.requantize import Requantize
from hwsim.ops.softmax import Softmax
from hwsim.spec import IntegerSpec, QuantSpec, TensorSpec, along, signed_bits

CONSTANT_BITS = 31
"""Widest added constant; what lies beyond (a mask of -100 in steps of 1e-9) saturates there."""


@dataclass(frozen=True, slots=True)
class Wire:
    """A value of the integer graph; it stands for factor * its reals + bias, each one number, or one per index of an axis:
    of the last one for `factor`, of `bias_axis` for `bias`."""

    name: str
    factor: tuple[float, ...] = (1.0,)
    bias: tuple[float, ...] = ()
    bias_axis: int | None = None

    @property
    def plain(self) -> bool:
        """Whether it stands for its reals themselves."""
        return self.factor == (1.0,) and not self.bias


def integerize(graph: Graph, recipe: str | Path | Recipe, ranges: Ranges) -> Graph:
    """The integer form of the mixed `graph`; `ranges` are those that `hwsim.lower.ranges.measure` saw.

    Its input is codes (`hwsim.simulator.as_codes` makes them), and so are its outputs. Raises IllegalModel naming the node
    that has no integer form, and how to mend the model; UnknownName and BadFile for a recipe that is none.
    """
    chosen = recipe if isinstance(recipe, Recipe) else recipes.find(recipe)
    return _Lowering(graph, chosen, ranges).run()


class _Lowering:
    def __init__(self, graph: Graph, recipe: Recipe, ranges: Ranges) -> None:
        self.graph, self.recipe, self.ranges = graph, recipe, ranges
        self.domains = Domains(graph)
        self.grids = Grids(self.domains, ranges, recipe)
        self.operators: dict[str, Any] = {f: recipe.operator(f) for f in ("softmax", "gelu", "layernorm")}
        self.wires: dict[str, Wire] = {}
        self.settled: dict[str, Wire] = {}
        self.inputs: dict[str, TensorSpec] = {}
        self.constants: dict[str, tuple[Array, TensorSpec]] = {}
        self.specs: dict[str, TensorSpec] = {}
        self.nodes: dict[str, Node] = {}
        self.renamed: dict[str, str] = {}
        self.loose = {name for name in self.domains.maker if self.domains.is_loose(name)}

    def run(self) -> Graph:
        for name in self.graph.inputs:
            spec = self.graph.specs[name]
            grid = self.grids.of(name) if spec.quant is None else spec.quant
            self.inputs[name] = self.specs[name] = TensorSpec(spec.shape, grid)
            self.wires[name] = Wire(name)
        for node in self.graph.nodes:
            try:
                self.wires[node.name] = self.lower(node)
            except (HwsimError, ValueError) as error:
                text = str(error)
                raise IllegalModel(text if text.startswith(node.name) else f"{node.name}: {text}") from None
        outputs = [self.result(name).name for name in self.graph.outputs]
        called = [Node(self.called(n.name), n.op, tuple(map(self.called, n.inputs))) for n in self.nodes.values()]
        meta = {**self.graph.meta, "form": "integer", "recipe": self.recipe.name, "rounding": self.recipe.rounding}
        return build(self.graph.name, self.inputs, self.constants, called, map(self.called, outputs), meta)

    def lower(self, node: Node) -> Wire:
        """The wire of the value that `node` makes."""
        match node.op:
            case Quantize(spec):
                return self.quantize(node, spec)
            case Dequantize():
                return self.wires[node.inputs[0]]
            case Add() if self.domains.adds_constant(node):
                return self.add_constant(node)
            case Add() | Concat():
                return self.join(node)
            case Mul():
                return self.scale(node)
            case Softmax():
                x = self.island_input(node.inputs[0], "scores")
                return self.emit(node.name, self.operators["softmax"].lower(self.spec(x), self.recipe.softmax_bits), x)
            case Gelu():
                x, out = self.island_input(node.inputs[0], "gelu"), self.grids.flat(node.name)
                return self.emit(node.name, self.operators["gelu"].lower(self.spec(x), out, self.recipe.link_bits), x)
            case LayerNorm(epsilon):
                x, out = self.settle(node.inputs[0]), self.grids.flat(node.name)
                weight, bias = (np.asarray(self.graph.constants[name], np.float64) for name in node.inputs[1:])
                op = self.operators["layernorm"].lower(self.spec(x), weight, bias, epsilon, out)
                return self.emit(node.name, op, x)
            case Mean():
                return self.emit(node.name, node.op, self.settle(node.inputs[0]))
        if isinstance(node.op, LAYOUT):
            return self.move(node)
        if node.op.gemm(self.graph.inputs_of(node), self.graph.specs[node.name]) is not None:
            return self.product(node)
        raise IllegalModel(f"an operator needs an integer form, got {type(node.op).__name__}; replace it in the model")

    def quantize(self, node: Node, spec: IntegerSpec) -> Wire:
        """Codes of the quantizer's grid: nothing to do, a Requantize, or comparisons where the grid is not uniform."""
        source = node.inputs[0]
        wire = self.wires[source]
        have = self.spec(wire).quant
        if not isinstance(have, QuantSpec):
            return (
                wire  # the operator makes codes of its own kind, as log-int-softmax does; they replace the quantizer's
            )
        if not isinstance(spec, QuantSpec):
            x = self.settle(source)
            return self.emit(node.name, Encode.lower(self.spec(x), snapped(spec, self.recipe)), x)
        wanted = snapped(spec, self.recipe)
        if have == wanted and wire.plain:
            self.renamed.setdefault(wire.name, node.name)  # called like the quantizer, whose codes they are
            return wire
        last = len(self.spec(wire).shape) - 1 if len(wire.factor) > 1 else None
        if (
            len({have.axis, wanted.axis, wire.bias_axis, last} - {None}) > 1
        ):  # channels along two axes: one grid between
            wire = self.settle(source)
        return self.requantize(node.name, wire, wanted)

    def add_constant(self, node: Node) -> Wire:
        """A bias per channel waits for the next requantization; another constant is rounded to a step of what it is added
        to: of wide sums, where they are such and have no bias yet, or else of the grid, on which the sum saturates."""
        (source,) = self.domains.joined(node)
        name = next(name for name in node.inputs if name in self.graph.constants)
        wire = self.wires[source]
        quant = self.spec(wire).quant
        assert isinstance(quant, QuantSpec)
        if source in self.loose and not wire.bias:
            axis = self.bias_axis(wire, self.graph.constants[name].shape)
            if axis is not None:
                self.loose.add(node.name)
                return replace(wire, bias=tuple(self.graph.constants[name].ravel().tolist()), bias_axis=axis)
            if len(wire.factor) == 1 and not any(quant.zero_point):
                self.loose.add(node.name)
                value = self.constant(name, self.spec(wire), wire.factor[0], CONSTANT_BITS)
                return replace(self.emit(node.name, Add(), wire, value), factor=wire.factor)
        wire = self.settle(source)
        return self.emit(node.name, Add(self.spec(wire).bits), wire, self.constant(name, self.spec(wire)))

    def bias_axis(self, wire: Wire, shape: tuple[int, ...]) -> int | None:
        """The axis along which a constant of `shape` is a bias per channel of the wide sums; None where it is none."""
        spec = self.spec(wire)
        rank = len(spec.shape)
        long = [axis + rank - len(shape) for axis, size in enumerate(shape) if size > 1]
        taken = spec.quant.axis if spec.quant is not None else None
        taken = rank - 1 if len(wire.factor) > 1 else taken
        fits = len(long) == 1 and long[0] > 0 and taken in (None, long[0]) and len(shape) <= rank
        return long[0] if fits else None

    def join(self, node: Node) -> Wire:
        """A residual sum or a concat: all parts on the domain's grid; sums saturate at its width."""
        grid = self.grids.of(node.name)
        operands = []
        for name in node.inputs:
            if name in self.graph.constants:
                operands.append(self.constant(name, TensorSpec(self.graph.specs[node.name].shape, grid)))
            else:
                operands.append(self.settle(name))
        op = Add(grid.bits) if isinstance(node.op, Add) else node.op
        return self.emit(node.name, op, *operands)

    def scale(self, node: Node) -> Wire:
        """A scaling by positive constants goes into the wire's factor, and from there into the next multiplier."""
        constants = [name for name in node.inputs if name in self.graph.constants]
        if len(constants) != 1:
            raise IllegalModel("a scaling is by one constant, got a product of activations; replace it in the model")
        source = next(name for name in node.inputs if name not in constants)
        values = np.asarray(self.graph.constants[constants[0]], np.float64)
        if not (values > 0).all() or values.size not in (1, values.shape[-1] if values.ndim else 1):
            raise IllegalModel(
                "a scaling is by a positive number, or by one per channel of the last axis, got "
                f"{values.min():.4g} in shape {values.shape}; fold it into the weights before it"
            )
        wire = self.wires[source]
        if wire.bias and values.size > 1 and wire.bias_axis != len(self.spec(wire).shape) - 1:
            wire = self.settle(source)
        factor, bias = (np.asarray(part) * values.reshape(-1) for part in (wire.factor, wire.bias or (0.0,)))
        bias_ = tuple(bias.tolist()) if wire.bias else ()
        return replace(wire, factor=tuple(factor.tolist()), bias=bias_)

    def move(self, node: Node) -> Wire:
        """A layout operator moves codes that are on their grid; scores may stay wide sums until the softmax."""
        source = node.inputs[0]
        wire = self.wires[source]
        if (
            self.domains.of(node.name).kind == "scores"
            and source in self.loose
            and len(wire.factor) == 1
            and not wire.bias
        ):
            try:
                moved = replace(self.emit(node.name, node.op, wire), factor=wire.factor)
            except (HwsimError, ValueError):
                pass  # the channel axis does not survive: one scale for all, then
            else:
                self.loose.add(node.name)
                return moved
        settled = self.settle(source)
        if (
            self.grids.of(node.name).axis is None is not self.grids.of(source).axis
        ):  # the channels are about to be mixed
            settled = self.requantize(f"{source}.link", settled, self.grids.of(node.name))
        return self.emit(node.name, node.op, settled)

    def product(self, node: Node) -> Wire:
        """The same product; weights are quantized again where the recipe wants powers of two."""
        operands = []
        for name in node.inputs:
            spec = self.graph.specs[name]
            if spec.quant is None:
                raise IllegalModel(
                    f"an integer product needs quantized operands, got {spec}; quantize the model at 8 bits or fewer"
                )
            if name in self.graph.constants:
                operands.append(self.weight(name, spec))
            else:
                operands.append(self.wires[name])
        return self.emit(node.name, node.op, *operands)

    def weight(self, name: str, spec: TensorSpec) -> Wire:
        codes = self.graph.constants[name]
        quant = spec.quant
        assert quant is not None
        wanted = snapped(quant, self.recipe)
        if isinstance(wanted, QuantSpec) and wanted != quant:
            codes = Quantize(wanted).run((quant.to_real(codes),), (), TensorSpec(spec.shape, wanted, False))
        quant = wanted
        self.constants[name] = (codes, TensorSpec(spec.shape, quant, False))
        self.specs[name] = self.constants[name][1]
        return Wire(name)

    def settle(self, name: str) -> Wire:
        """The wire of the float value `name`, on its domain's grid."""
        if name not in self.settled:
            wire, grid = self.wires[name], self.grids.of(name)
            kind = self.domains.of(name).kind
            if self.spec(wire).quant != grid or not wire.plain:
                wire = self.requantize(f"{name}.{kind}", wire, grid)
            self.settled[name] = wire
        return self.settled[name]

    def result(self, name: str) -> Wire:
        """The wire of an output: codes of one scale, so that the largest code is that of the largest real."""
        wire = self.wires[name]
        quant = self.spec(wire).quant
        return wire if wire.plain and quant is not None and quant.axis is None else self.settle(name)

    def island_input(self, name: str, kind: str) -> Wire:
        """The wire that a softmax or GELU reads: the value on the grid of its domain, or, where that is for others as well,
        on one of its own."""
        if self.domains.of(name).kind == kind:
            return self.settle(name)
        domain = Domain(kind, (name,), ())
        return self.requantize(f"{name}.{kind}", self.settle(name), grid_of(domain, [self.ranges[name]], self.recipe))

    def requantize(self, name: str, wire: Wire, grid: QuantSpec) -> Wire:
        spec = self.spec(wire)
        last = len(spec.shape) - 1 if len(wire.factor) > 1 else None
        if not isinstance(spec.quant, QuantSpec):  # codes of another kind have no scale to multiply with
            raise IllegalModel(f"{name}: only a product reads such codes, got {spec}; choose another softmax")
        op = Requantize.between(
            spec,
            grid,
            factor=wire.factor,
            factor_axis=last,
            bias=wire.bias,
            bias_axis=wire.bias_axis,
            bits=self.recipe.multiplier_bits,
            rounding=self.recipe.rounding,
        )
        return self.emit(name, op, wire)

    def constant(self, name: str, spec: TensorSpec, factor: float = 1.0, bits: int = 0) -> Wire:
        """The float constant in steps of `spec`, repeated along its channel axis: as wide as `spec`, or as it needs, at
        most `bits`."""
        quant = spec.quant
        assert isinstance(quant, QuantSpec)
        value = np.asarray(self.graph.constants[name], np.float64)
        axis = None
        if quant.axis is not None:
            value = value.reshape((1,) * (len(spec.shape) - value.ndim) + value.shape)
            axis = quant.axis
            value = np.broadcast_to(value, [len(quant.scale) if i == axis else n for i, n in enumerate(value.shape)])
        limit = 1 << ((bits or quant.bits) - 1)
        steps = np.rint(value / (along(quant.scale, axis, value.ndim, np.float64) * factor))
        codes = np.clip(steps, -limit, limit - 1).astype(np.int64)
        width = max(2, signed_bits(int(codes.min()), int(codes.max()))) if bits else quant.bits
        grid = QuantSpec(width, True, quant.scale, (0,) * len(quant.scale), axis)
        self.specs[name] = TensorSpec(codes.shape, grid, batched=False)
        self.constants[name] = (codes.astype(grid.container), self.specs[name])
        return Wire(name)

    def emit(self, name: str, op: Op, *operands: Wire) -> Wire:
        """A new node of the integer graph."""
        names = tuple(wire.name for wire in operands)
        self.specs[name] = op.infer(tuple(self.specs[n] for n in names))
        self.nodes[name] = Node(name, op, names)
        return Wire(name)

    def called(self, name: str) -> str:
        """The name that a value has in the end; inputs keep theirs."""
        return self.renamed.get(name, name) if name not in self.inputs else name

    def spec(self, wire: Wire) -> TensorSpec:
        return self.specs[wire.name]
