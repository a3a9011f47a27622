"""Concat along one axis; a constant among activations (a class token) is repeated for every image."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from hwsim.kernels.memory import empty
from hwsim.op import Action, Array, Op, Specs, need, need_axes
from hwsim.spec import TensorSpec


@dataclass(frozen=True, slots=True)
class Concat(Op):
    """Of any number of inputs of one format, along `axis` (never the batch)."""

    axis: int

    onnx = "Concat"
    torch = ("aten.cat", "aten.stack", "aten.repeat_interleave")

    def infer(self, inputs: Specs) -> TensorSpec:
        """Sizes add up along the axis."""
        need(len(inputs) > 0, "one input or more is needed", 0, "name one")
        first = inputs[0]
        need_axes((self.axis,), first)
        batched = any(spec.batched for spec in inputs)
        for spec in inputs:
            rest = [tuple(n for i, n in enumerate(s.shape) if i != self.axis) for s in (first, spec)]
            need(rest[0] == rest[1], "all sizes but one must agree", f"{first} and {spec}", "reshape one")
            need(spec.quant == first.quant, "one format is needed", f"{first} and {spec}", "dequantize them")
            fits = spec.batched or not batched or spec.shape[0] == 1
            need(fits, "a constant has no batch: its leading axis must be 1", spec, "reshape it")
        need(not (batched and self.axis == 0), "the batch is not concatenated", self.axis, "choose another axis")
        apart = first.quant is None or first.quant.axis != self.axis
        need(apart, "codes have one scale along the joined axis", first, "quantize per tensor")
        size = sum(spec.shape[self.axis] for spec in inputs)
        return TensorSpec((*first.shape[: self.axis], size, *first.shape[self.axis + 1 :]), first.quant, batched)

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """Constants are broadcast along the batch."""
        if out.batched:
            batch = max(value.shape[0] for value in values)
            values = tuple(np.broadcast_to(value, (batch, *value.shape[1:])) for value in values)
        size = sum(value.shape[self.axis] for value in values)
        shape = values[0].shape
        result = empty((*shape[: self.axis], size, *shape[self.axis + 1 :]), np.result_type(*values))
        return np.concatenate(values, axis=self.axis, out=result)

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """Every element moves to its place behind the others."""
        return Counter({Action("move", out.bits, out.bits): out.elements})
