"""Roll: cyclic shift along axes, as before and after Swin's shifted windows."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from hwsim.op import Action, Array, Op, Specs, need, need_axes
from hwsim.spec import TensorSpec


@dataclass(frozen=True, slots=True)
class Roll(Op):
    """Element i of each of `axes` goes to i + shift, modulo its size; `shifts` has one entry per axis."""

    shifts: tuple[int, ...]
    axes: tuple[int, ...]

    torch = ("aten.roll",)

    def infer(self, inputs: Specs) -> TensorSpec:
        """Nothing changes but the order."""
        (x,) = inputs
        need_axes(self.axes, x)
        need(len(self.shifts) == len(self.axes), "one shift per axis", self.shifts, "give as many")
        need(not (x.batched and 0 in self.axes), "the batch is not rolled", self.axes, "choose other axes")
        need(x.quant is None or x.quant.axis not in self.axes, "channels are not rolled", x, "quantize per tensor")
        return x

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """A copy."""
        return np.roll(values[0], self.shifts, self.axes)

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """Every element moves."""
        return Counter({Action("move", out.bits, out.bits): out.elements})
