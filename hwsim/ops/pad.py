"""Pad: elements around a tensor, all real zeros, that is codes equal to the zero point; or all lower than any other, as a
maximum wants them (S9)."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from hwsim.op import Action, Array, Op, Specs, need
from hwsim.spec import QuantSpec, TensorSpec, along


@dataclass(frozen=True, slots=True)
class Pad(Op):
    """`before` and `after`: elements added in front of and behind each axis, none along the batch. `lowest`: they are
    minus infinity, or the lowest code, instead of zero."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    lowest: bool = False

    onnx = "Pad"
    torch = ("aten.pad",)

    def infer(self, inputs: Specs) -> TensorSpec:
        """The larger shape; codes keep their one scale."""
        (x,) = inputs
        rank = len(x.shape)
        legal = len(self.before) == len(self.after) == rank and min(*self.before, *self.after) >= 0
        need(legal, f"padding is {rank} numbers of 0 or more on either side", self, "check the layer")
        sizes = tuple(b + n + a for b, n, a in zip(self.before, x.shape, self.after, strict=True))
        need(not x.batched or sizes[0] == x.shape[0], "the batch is not padded", self, "pad another axis")
        affine = x.quant is None or isinstance(x.quant, QuantSpec)
        need(affine, "floats or codes of an affine grid have a zero", x, "requantize it before")
        axis = x.quant.axis if x.quant is not None else None
        need(axis is None or sizes[axis] == x.shape[axis], "padding has one scale", x, "quantize per tensor")
        return x.shaped(sizes)

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """A copy."""
        (x,) = values
        wide = np.empty((*x.shape[:1], *out.shape[1:]) if out.batched else out.shape, self._dtype(out))
        wide[:] = self._fill(out)
        inside = tuple(slice(b, b + size) for b, size in zip(self.before, x.shape, strict=True))
        wide[inside] = x
        return wide

    def _dtype(self, out: TensorSpec) -> np.dtype[np.generic]:
        return np.dtype(np.float64) if out.quant is None else out.quant.container

    def _fill(self, out: TensorSpec) -> Array:
        if out.quant is None:
            return np.array(-np.inf if self.lowest else 0.0)
        if self.lowest:
            return np.array(out.quant.qmin)
        return along(out.quant.zero_point, out.quant.axis, len(out.shape), np.int64)

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """Every element moves to its place in the padding, as it does in a concatenation."""
        return Counter({Action("move", out.bits, out.bits): inputs[0].elements})
