"""integerize: the mixed form with float islands becomes the integer form, in which no float flows (S17).

One walk over the mixed graph. A float value of it is represented by a *wire*: a value of the integer graph, whose codes
mean factor * scale * (q - zero_point) + bias (`wire.py`). Products stay; scalings and biases wait on the wire for the next
Requantize; each island is replaced by the recipe's integer operator; where a value needs another grid, a Requantize is
put, named after the value and the kind of grid (`blocks.0.attn.mul.scores`). A quantizer whose grid the value is on
already costs nothing.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from hwsim.errors import HwsimError, IllegalModel
from hwsim.graph import Graph, Node
from hwsim.lower import recipe as recipes
from hwsim.lower.domains import LAYOUT, Domain, Domains, moved_axis
from hwsim.lower.draft import CONSTANT_BITS, Draft
from hwsim.lower.grids import Grids
from hwsim.lower.ranges import Ranges
from hwsim.lower.recipe import Recipe
from hwsim.lower.scales import grid_of, link_grid, reaching, snapped
from hwsim.lower.wire import Wire, channel_axis
from hwsim.op import Array
from hwsim.ops.add import Add
from hwsim.ops.avgpool2d import AvgPool2d
from hwsim.ops.concat import Concat
from hwsim.ops.dequantize import Dequantize
from hwsim.ops.encode import Encode
from hwsim.ops.gelu import Gelu
from hwsim.ops.layernorm import LayerNorm
from hwsim.ops.maxpool2d import MaxPool2d
from hwsim.ops.mean import Mean
from hwsim.ops.mul import Mul
from hwsim.ops.quantize import Quantize
from hwsim.ops.relu import Relu
from hwsim.ops.softmax import Softmax
from hwsim.spec import IntegerSpec, QuantSpec, TensorSpec


def integerize(graph: Graph, recipe: str | Path | Recipe, ranges: Ranges) -> Graph:
    """The integer form of the mixed `graph`; `ranges` are those that `hwsim.lower.ranges.measure` saw.

    Its input is codes (`hwsim.simulator.as_codes` makes them), and so are its outputs. Raises IllegalModel naming the node
    that has no integer form, and how to mend the model; UnknownName and BadFile for a recipe that is none.
    """
    check_mixed(graph)
    chosen = recipe if isinstance(recipe, Recipe) else recipes.find(recipe)
    return _Lowering(graph, chosen, ranges).run()


def check_mixed(graph: Graph) -> None:
    """Raise IllegalModel where `graph` has no float value: it is of the integer form already."""
    if all(spec.quant is not None for spec in graph.specs.values()):
        made = graph.meta.get("recipe", "none")
        raise IllegalModel(
            f"{graph.name}: must be of the mixed form, got integers alone (recipe {made}); use it as it is"
        )


class _Lowering:
    def __init__(self, graph: Graph, recipe: Recipe, ranges: Ranges) -> None:
        self.graph, self.recipe, self.ranges = graph, recipe, ranges
        self.domains = Domains(graph)
        self.grids = Grids(self.domains, ranges, recipe)
        self.draft = Draft(recipe, graph.specs)
        self.operators: dict[str, Any] = {f: recipe.operator(f) for f in ("softmax", "gelu", "layernorm")}
        self.wires: dict[str, Wire] = {}
        self.settled: dict[str, Wire] = {}
        self.wide = {name for name in self.domains.maker if self.domains.is_loose(name)}
        self.own: set[str] = set()

    def run(self) -> Graph:
        for name in self.graph.inputs:
            with _named(name):
                spec = self.graph.specs[name]
                grid = self.grids.of(name) if spec.quant is None else spec.quant
                self.wires[name] = self.draft.input(name, TensorSpec(spec.shape, grid))
        for node in self.graph.nodes:
            with _named(node.name):
                self.wires[node.name] = self.lower(node)
        outputs = []
        for name in self.graph.outputs:
            with _named(name):
                outputs.append(self.result(name))
        meta = {**self.graph.meta, "form": "integer", "recipe": self.recipe.name, "rounding": self.recipe.rounding}
        return self.draft.finish(self.graph.name, outputs, meta)

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
                return self.softmax(node)
            case Gelu():
                x, out = self.island_input(node.inputs[0], "gelu"), self.grids.flat(node.name)
                op = self.operators["gelu"].lower(self.draft.spec(x), out, self.recipe.link_bits)
                return self.draft.emit(node.name, op, x)
            case LayerNorm(epsilon):
                x, out = self.norm_input(node.inputs[0]), self.grids.flat(node.name)
                weight, bias = (np.asarray(self.graph.constants[name], np.float64) for name in node.inputs[1:])
                op = self.operators["layernorm"].lower(self.draft.spec(x), weight, bias, epsilon, out)
                return self.draft.emit(node.name, op, x)
            case Mean() | AvgPool2d() | MaxPool2d() | Relu():  # exact on codes (S10)
                return self.draft.emit(node.name, node.op, self.settle(node.inputs[0]))
        if isinstance(node.op, LAYOUT):
            return self.move(node)
        if node.op.gemm(self.graph.inputs_of(node), self.graph.specs[node.name]) is not None:
            return self.product(node)
        raise IllegalModel(f"an operator needs an integer form, got {type(node.op).__name__}; replace it in the model")

    def softmax(self, node: Node) -> Wire:
        """The recipe's operator; codes of a grid of its own stand for those of the quantizer behind it."""
        x = self.island_input(node.inputs[0], "scores")
        op = self.operators["softmax"].lower(self.draft.spec(x), self.recipe.softmax_bits)
        wire = self.draft.emit(node.name, op, x)
        if not isinstance(self.draft.spec(wire).quant, QuantSpec):
            self.own.add(wire.name)
        return wire

    def quantize(self, node: Node, spec: IntegerSpec) -> Wire:
        """Codes of the quantizer's grid: nothing to do, a Requantize, or comparisons where the grid is not uniform."""
        source = node.inputs[0]
        wire, wanted = self.wires[source], snapped(spec, self.recipe)
        have = self.draft.spec(wire).quant
        assert have is not None
        if wire.plain and (have == wanted or wire.name in self.own):
            self.draft.call(wire, node.name)
            return wire
        if not isinstance(wanted, QuantSpec):
            x = self.settle(source)
            return self.draft.emit(node.name, Encode.lower(self.draft.spec(x), wanted), x)
        if len(wire.axes(have.axis, wanted.axis)) > 1:  # channels along two axes: one scale between
            wire = self.settle(source)
        return self.draft.requantize(node.name, wire, wanted)

    def add_constant(self, node: Node) -> Wire:
        """A bias per channel waits for the next requantization. Another constant is rounded to a step of what it is added
        to: exactly of wide sums that have no bias yet, where it fits; or else of a grid, on which the sum saturates."""
        (source,) = self.domains.joined(node)
        name = next(name for name in node.inputs if name in self.graph.constants)
        value = np.asarray(self.graph.constants[name], np.float64)
        wire = self.wires[source]
        spec = self.draft.spec(wire)
        if source in self.wide and not wire.bias and isinstance(spec.quant, QuantSpec):
            per_channel, axis = channel_axis(value.shape, len(spec.shape))
            if per_channel and len(wire.axes(spec.quant.axis, axis)) < 2:
                self.wide.add(node.name)
                return wire.plus(value.ravel().tolist(), axis)
            if wire.factor_axis is None and not any(spec.quant.zero_point):
                steps = np.abs(value).max() / (min(spec.quant.scale) * wire.factor[0])
                if steps < 1 << (CONSTANT_BITS - 1):
                    self.wide.add(node.name)
                    constant = self.draft.constant(name, value, spec, wire.factor[0], grow=True)
                    return self.draft.emit(node.name, Add(), wire, constant).scaled(wire.factor, None)
        return self.add_on_grid(node, source, name, value)

    def add_on_grid(self, node: Node, source: str, name: str, value: Array) -> Wire:
        """The sum on the domain's grid; where that has a zero point, as that of scores, on one for the result alone."""
        if any(self.grids.of(source).zero_point):
            both = self.ranges[node.name].joined(self.ranges[source])
            grid = link_grid(reaching(both) if self.domains.of(source).kind == "scores" else both, self.recipe)
            wire = self.draft.insert(source, "link", self.wires[source], grid)
        else:
            wire = self.settle(source)
        spec = self.draft.spec(wire)
        return self.draft.emit(node.name, Add(spec.bits), wire, self.draft.constant(name, value, spec))

    def join(self, node: Node) -> Wire:
        """A residual sum or a concat: all parts on the domain's grid; sums saturate at its width."""
        grid = self.grids.of(node.name)
        spec = TensorSpec(self.graph.specs[node.name].shape, grid)
        operands = [
            self.draft.constant(name, self.graph.constants[name], spec)
            if name in self.graph.constants
            else self.settle(name)
            for name in node.inputs
        ]
        return self.draft.emit(node.name, Add(grid.bits) if isinstance(node.op, Add) else node.op, *operands)

    def scale(self, node: Node) -> Wire:
        """A scaling by positive constants goes into the wire's factor, and from there into the next multiplier."""
        constants = [name for name in node.inputs if name in self.graph.constants]
        if len(constants) != 1:
            raise IllegalModel("a scaling is by one constant, got a product of activations; replace it in the model")
        source = next(name for name in node.inputs if name not in constants)
        values = np.asarray(self.graph.constants[constants[0]], np.float64)
        if not (values > 0).all():
            raise IllegalModel(
                f"a scaling is by positive numbers, got {values.min():.4g}; fold its sign into the weights before it"
            )
        wire = self.wires[source]
        spec = self.draft.spec(wire)
        per_channel, axis = channel_axis(values.shape, len(spec.shape))
        if not per_channel:
            raise IllegalModel(
                f"a scaling is by one number, or by one per channel, got shape {values.shape}; fold it into the weights"
            )
        if len(wire.axes(axis, spec.quant.axis if spec.quant else None)) > 1:
            wire = self.settle(source)
        return wire.scaled(values.ravel().tolist(), axis)

    def move(self, node: Node) -> Wire:
        """A layout operator moves codes that are on their grid; scores may stay wide sums until the softmax."""
        source = node.inputs[0]
        wire = self.wires[source]
        if self.graph.specs[source].quant is not None or wire.name in self.own:
            moved = self.draft.emit(node.name, node.op, wire)
            self.own.update({moved.name} if wire.name in self.own else ())
            return moved
        if self.stays_wide(node, wire):
            self.wide.add(node.name)
            return self.draft.emit(node.name, node.op, wire).scaled(wire.factor, None)
        settled, grid = self.settle(source), self.grids.of(node.name)
        if grid.axis is None and self.grids.of(source).axis is not None:  # the channels are about to be mixed
            settled = self.draft.insert(source, "link", settled, grid)
        return self.draft.emit(node.name, node.op, settled)

    def stays_wide(self, node: Node, wire: Wire) -> bool:
        """Whether a layout operator may move wide sums as they are: towards a softmax, with their channels in one axis."""
        wide = self.domains.of(node.name).kind == "scores" and node.inputs[0] in self.wide
        if not wide or wire.factor_axis is not None or wire.bias:
            return False
        spec = self.draft.spec(wire)
        axis = None if spec.quant is None else spec.quant.axis
        return axis is None or moved_axis(node.op, spec.shape, axis) is not None

    def product(self, node: Node) -> Wire:
        """The same product; weights are quantized again where the recipe wants powers of two."""
        operands = []
        for name in node.inputs:
            spec = self.graph.specs[name]
            if spec.quant is None:
                raise IllegalModel(
                    f"an integer product needs quantized operands, got {spec}; quantize the model at 8 bits or fewer"
                )
            operands.append(self.weight(name, spec) if name in self.graph.constants else self.wires[name])
        return self.draft.emit(node.name, node.op, *operands)

    def weight(self, name: str, spec: TensorSpec) -> Wire:
        codes, quant = self.graph.constants[name], spec.quant
        assert quant is not None
        wanted = TensorSpec(spec.shape, snapped(quant, self.recipe), False)
        if isinstance(wanted.quant, QuantSpec) and wanted != spec:
            codes = Quantize(wanted.quant).run((quant.to_real(codes),), (), wanted)
        return self.draft.codes(name, codes, wanted)

    def settle(self, name: str) -> Wire:
        """The wire of the float value `name`, on its domain's grid."""
        if name not in self.settled:
            wire, grid = self.wires[name], self.grids.of(name)
            if self.draft.spec(wire).quant != grid or not wire.plain:
                wire = self.draft.insert(name, self.domains.of(name).kind, wire, grid)
            self.settled[name] = wire
        return self.settled[name]

    def result(self, name: str) -> Wire:
        """The wire of an output: of a float, codes of one scale, so that the largest code is that of the largest real."""
        wire = self.wires[name]
        quant = self.draft.spec(wire).quant
        if self.graph.specs[name].quant is not None or (wire.plain and quant is not None and quant.axis is None):
            return wire
        return self.settle(name)

    def norm_input(self, name: str) -> Wire:
        """The wire that a LayerNorm reads: the codes of a quantizer as they are, where the operator takes their scales (one,
        or with PTF one per channel, powers of two apart), else the value on its domain's grid."""
        wire, maker = self.wires[name], self.domains.maker.get(name)
        if maker is not None and isinstance(maker.op, Dequantize) and not self.domains.is_loose(name) and wire.plain:
            quant = self.draft.spec(wire).quant
            if isinstance(quant, QuantSpec):
                apart = len({math.frexp(scale)[0] for scale in quant.scale}) == 1
                if apart and (len(quant.scale) == 1 or self.recipe.power_of_two_factor):
                    return wire
        return self.settle(name)

    def island_input(self, name: str, kind: str) -> Wire:
        """The wire that a softmax or GELU reads: the value on the grid of its domain, or, where that is for others as well,
        on one of its own."""
        if self.domains.of(name).kind == kind:
            return self.settle(name)
        grid = grid_of(Domain(kind, (name,), ()), [self.ranges[name]], self.recipe)
        return self.draft.insert(name, kind, self.settle(name), grid)


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Within, what cannot be lowered is told as an IllegalModel of `name`."""
    try:
        yield
    except (HwsimError, ValueError, ArithmeticError) as error:
        text = str(error)
        raise IllegalModel(text if text.startswith(f"{name}: ") else f"{name}: {text}") from None
