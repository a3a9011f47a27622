"""Clip, float island: min(max(x, least), most): ReLU6, or a length that a row is divided by."""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from hwsim.op import Action, Array, Op, Specs, need_float
from hwsim.ops._rowviews import room_for
from hwsim.spec import FLOAT_BITS, TensorSpec


@dataclass(frozen=True, slots=True)
class Clip(Op):
    """Element by element, from below, from above or both."""

    least: float | None = None
    most: float | None = None

    onnx = "Clip"
    torch = ("aten.clamp_min", "aten.hardtanh", "aten.relu6", "aten.hardsigmoid", "aten.hardswish")

    def __post_init__(self) -> None:
        for name, bound in (("least", self.least), ("most", self.most)):
            if bound is not None and not math.isfinite(bound):
                raise ValueError(f"clip: {name} must be finite, got {bound}; check the layer")

    def infer(self, inputs: Specs) -> TensorSpec:
        """The shape of x."""
        need_float(inputs, "clip")
        return inputs[0]

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """In float64."""
        clipped = values[0]
        if self.least is not None:
            clipped = np.maximum(clipped, self.least, out=room_for(values))
        if self.most is not None:
            clipped = np.minimum(clipped, self.most, out=room_for(values))
        return np.asarray(clipped, np.float64)

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """One comparison per element and bound."""
        bounds = sum(bound is not None for bound in (self.least, self.most))
        return Counter({Action("max", FLOAT_BITS, FLOAT_BITS): bounds * out.elements})
