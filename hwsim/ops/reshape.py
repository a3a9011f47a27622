"""Reshape: the same elements in row-major order under another shape; moves no data."""

import math
from collections import Counter
from dataclasses import dataclass

from hwsim.op import Action, Array, Op, Specs, need
from hwsim.spec import TensorSpec


@dataclass(frozen=True, slots=True)
class Reshape(Op):
    """`shape` is per image: its first entry counts rows of the batch axis that one image makes."""

    shape: tuple[int, ...]

    onnx = "Reshape"
    torch = ("aten.reshape", "aten.view", "aten.flatten", "aten.unsqueeze", "aten.squeeze")

    def infer(self, inputs: Specs) -> TensorSpec:
        """As many elements as before; channels must stay one axis of their own."""
        (x,) = inputs
        need(math.prod(self.shape) == x.elements, f"{x.elements} elements must stay", self.shape, "fix the shape")
        quant = x.quant
        if quant is not None and quant.axis is not None:
            inner = math.prod(x.shape[quant.axis + 1 :])
            axes = [
                i
                for i, size in enumerate(self.shape)
                if size == x.shape[quant.axis] and math.prod(self.shape[i + 1 :]) == inner
            ]
            need(bool(axes), "per-channel codes must keep their channel axis", self.shape, "quantize per tensor")
            quant = quant.moved_to(axes[-1])  # the last of several: a single channel may not pass for the batch
        return TensorSpec(self.shape, quant, x.batched)

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """The batch axis takes what is left."""
        return values[0].reshape(-1, *self.shape[1:]) if out.batched else values[0].reshape(self.shape)

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """Nothing."""
        return Counter()
