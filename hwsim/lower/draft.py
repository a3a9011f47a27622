"""The integer graph while it is being made: nodes, constants and specs under names of their own."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from hwsim.errors import IllegalModel
from hwsim.graph import Graph, Node, build
from hwsim.lower.recipe import Recipe
from hwsim.lower.wire import Wire
from hwsim.op import Array, Op
from hwsim.ops.requantize import MULTIPLIER_BITS, Requantize
from hwsim.spec import QuantSpec, ShiftSpec, TensorSpec, along, signed_bits

CONSTANT_BITS = 31
"""Widest constant that is added to an accumulator."""


class Draft:
    """`taken` are the names of the mixed graph, which a new value may have only if it is that value."""

    def __init__(self, recipe: Recipe, taken: Iterable[str]) -> None:
        self.recipe, self.taken = recipe, set(taken)
        self.inputs: dict[str, TensorSpec] = {}
        self.constants: dict[str, tuple[Array, TensorSpec]] = {}
        self.specs: dict[str, TensorSpec] = {}
        self.nodes: dict[str, Node] = {}
        self.renamed: dict[str, str] = {}
        self.inserted: list[str] = []
        self.multiplied: list[str] = []
        """Requantizations that are no shift, though the recipe has powers of two alone: of 1 / sqrt(32), of means."""

    def input(self, name: str, spec: TensorSpec) -> Wire:
        """A graph input."""
        self.inputs[name] = self.specs[name] = spec
        return Wire(name)

    def emit(self, name: str, op: Op, *operands: Wire) -> Wire:
        """A node, called as the mixed graph's value that it makes."""
        names = tuple(wire.name for wire in operands)
        self.specs[name] = op.infer(tuple(self.specs[n] for n in names))
        self.nodes[name] = Node(name, op, names)
        return Wire(name)

    def insert(self, name: str, kind: str, wire: Wire, grid: QuantSpec) -> Wire:
        """A requantization that the mixed graph does not have, called after the value and what its grid is for."""
        free, count = f"{name}.{kind}", 0
        while free in self.taken or free in self.specs:
            count += 1
            free = f"{name}.{kind}_{count}"
        if kind != "quantizer":
            self.inserted.append(free)
        return self.requantize(free, wire, grid)

    def requantize(self, name: str, wire: Wire, grid: QuantSpec) -> Wire:
        """The reals that `wire` stands for, on `grid`."""
        spec, recipe = self.spec(wire), self.recipe
        op = self._between(spec, wire, grid, recipe.multiplier_bits)
        if recipe.power_of_two_scales and not self._exact(op, spec, wire, grid):
            op = self._between(spec, wire, grid, MULTIPLIER_BITS)
            self.multiplied.append(name)
        return self.emit(name, op, wire)

    def constant(self, name: str, value: Array, spec: TensorSpec, factor: float = 1.0, *, grow: bool = False) -> Wire:
        """The float constant `value` in steps of `spec`, repeated along its channel axis: as wide as `spec`, or as it
        needs."""
        quant = spec.quant
        assert isinstance(quant, QuantSpec)
        value = np.asarray(value, np.float64)
        axis = quant.axis
        if axis is not None:
            value = value.reshape((1,) * (len(spec.shape) - value.ndim) + value.shape)
            value = np.broadcast_to(value, [len(quant.scale) if i == axis else n for i, n in enumerate(value.shape)])
        limit = 1 << ((CONSTANT_BITS if grow else quant.bits) - 1)
        steps = np.rint(value / (along(quant.scale, axis, value.ndim, np.float64) * factor))
        codes = np.clip(steps, -limit, limit - 1).astype(np.int64)
        width = max(2, signed_bits(int(codes.min()), int(codes.max()))) if grow else quant.bits
        grid = QuantSpec(width, True, quant.scale, (0,) * len(quant.scale), axis)
        return self.codes(name, codes.astype(grid.container), TensorSpec(codes.shape, grid, batched=False))

    def codes(self, name: str, codes: Array, spec: TensorSpec) -> Wire:
        """A constant of codes, under a name of its own where another reader has it in other steps."""
        free, count = name, 0
        while (free in self.constants and not self._holds(free, codes, spec)) or (free in self.taken and free != name):
            count += 1
            free = f"{name}_{count}"
        self.constants[free] = (codes, spec)
        self.specs[free] = spec
        return Wire(free)

    def _holds(self, name: str, codes: Array, spec: TensorSpec) -> bool:
        known, known_spec = self.constants[name]
        return known_spec == spec and np.array_equal(known, codes)

    def call(self, wire: Wire, name: str) -> None:
        """Call the value like the quantizer whose codes it is; inputs, and values called already, keep their names."""
        if wire.name not in self.inputs:
            self.renamed.setdefault(wire.name, name)

    def spec(self, wire: Wire) -> TensorSpec:
        """The spec of the wire's value."""
        return self.specs[wire.name]

    def finish(self, name: str, outputs: Iterable[Wire], meta: Mapping[str, Any]) -> Graph:
        """The graph."""

        def called(value: str) -> str:
            return self.renamed.get(value, value)

        nodes = [Node(called(n.name), n.op, tuple(map(called, n.inputs))) for n in self.nodes.values()]
        told = {
            "inserted": [value for value in self.inserted if value not in self.renamed],
            "not_shifts": self.multiplied,
        }
        return build(name, self.inputs, self.constants, nodes, (called(w.name) for w in outputs), {**meta, **told})

    def _between(self, spec: TensorSpec, wire: Wire, grid: QuantSpec, bits: int) -> Requantize:
        if isinstance(spec.quant, ShiftSpec):
            raise IllegalModel(
                f"codes of {spec} have no one scale to multiply; quantize right behind their softmax, or choose another one"
            )
        return Requantize.between(
            spec,
            grid,
            factor=wire.factor,
            factor_axis=wire.factor_axis,
            bias=wire.bias,
            bias_axis=wire.bias_axis,
            bits=bits,
            rounding=self.recipe.rounding,
        )

    @staticmethod
    def _exact(op: Requantize, spec: TensorSpec, wire: Wire, grid: QuantSpec) -> bool:
        """Whether multipliers and shifts are the ratios of the scales themselves."""
        assert spec.quant is not None
        ratios = np.asarray(spec.quant.scale) * np.asarray(wire.factor) / np.asarray(grid.scale)
        return bool((np.ldexp(np.asarray(op.multiplier, np.float64), -np.asarray(op.shift)) == ratios).all())
