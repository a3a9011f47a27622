"""MaxPool2d (S10): the largest element of each window of images (B, C, H, W), of floats, or exactly of codes, since
scales are positive. Padding never wins."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from hwsim.op import Action, Array, Op, Specs, need
from hwsim.ops._windows import Windows, each_place, need_filled, windows, with_padding
from hwsim.spec import QuantSpec, TensorSpec


@dataclass(frozen=True, slots=True)
class MaxPool2d(Op):
    """Windows of `kernel` at `stride`, with `padding` on both sides, all as (vertical, horizontal); `ceil` as in
    `_windows`."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    ceil: bool = False

    onnx = "MaxPool"
    torch = ("aten.max_pool2d",)

    def infer(self, inputs: Specs) -> TensorSpec:
        """One element per window, on the grid of x."""
        (x,) = inputs
        vertical, horizontal = self._windows(x)
        need_filled(vertical, horizontal)
        affine = x.quant is None or isinstance(x.quant, QuantSpec)
        need(affine, "a maximum is of floats or of codes of an affine grid", x, "requantize it before")
        axis = x.quant.axis if x.quant is not None else None
        need(axis in (None, 1), "a window has codes of one scale", x, "requantize it per tensor or per channel")
        return x.shaped((*x.shape[:2], vertical.count, horizontal.count))

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """Place by place of the kernel."""
        vertical, horizontal = self._windows(inputs[0])
        dtype = np.dtype(np.float64) if out.quant is None else out.quant.container
        least = np.array(-np.inf if out.quant is None else out.quant.qmin, dtype)
        places = each_place(
            with_padding(values[0].astype(dtype, copy=False), vertical, horizontal, least), vertical, horizontal
        )
        largest = np.array(next(places), order="C")
        for elements in places:
            np.maximum(largest, elements, out=largest)
        return largest

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """Per window, one comparison fewer than it has elements of the image."""
        vertical, horizontal = self._windows(inputs[0])
        images = out.shape[0] * out.shape[1]
        compared = images * int(vertical.inside().sum()) * int(horizontal.inside().sum())
        return Counter({Action("max", out.bits, out.bits): compared - out.elements})

    def _windows(self, x: TensorSpec) -> tuple[Windows, Windows]:
        return windows(x, self.kernel, self.stride, self.padding, self.dilation, self.ceil)
