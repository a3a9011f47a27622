"""AvgPool2d (S10): the mean of each window of images (B, C, H, W); in float64 (a float island), or exactly on codes.

As a mean of codes (S10), the sum of codes with zero point 0 is kept and the division moves into the label; all windows
must then have one divisor.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from hwsim.op import Action, Array, Op, Specs, need
from hwsim.ops._windows import Windows, each_place, need_filled, windows, with_padding
from hwsim.spec import FLOAT_BITS, MAX_BITS, QuantSpec, TensorSpec, signed_bits


@dataclass(frozen=True, slots=True)
class AvgPool2d(Op):
    """Windows of `kernel` at `stride`, with `padding` zeros on both sides, all as (vertical, horizontal); `ceil` as in
    `_windows`. Divided is by the number of elements in the image, with `count_padding` of those in the padding too."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)
    ceil: bool = False
    count_padding: bool = True

    onnx = "AveragePool"
    torch = ("aten.avg_pool2d",)

    def infer(self, inputs: Specs) -> TensorSpec:
        """One element per window; for codes as many bits as their sum may need."""
        (x,) = inputs
        vertical, horizontal = self._windows(x)
        need_filled(vertical, horizontal)
        shape = (*x.shape[:2], vertical.count, horizontal.count)
        return TensorSpec(shape, self._sum_grid(x), x.batched)

    def _sum_grid(self, x: TensorSpec) -> QuantSpec | None:
        if x.quant is None:
            return None
        affine = isinstance(x.quant, QuantSpec) and not any(x.quant.zero_point)
        need(affine, "a mean of codes takes affine ones with zero_point 0", x, "requantize it before")
        need(x.quant.axis in (None, 1), "codes that are summed have one scale", x, "requantize it per tensor")
        assert isinstance(x.quant, QuantSpec)
        divisors = self._divisors(x)
        terms = int(divisors[0, 0])
        alike = bool((divisors == terms).all())
        need(
            alike, "windows of codes have one divisor", self, "count the padding, or choose sizes that fill the windows"
        )
        most = self.kernel[0] * self.kernel[1]
        bits = signed_bits(most * x.quant.qmin, most * x.quant.qmax)
        need(bits <= MAX_BITS, f"the sum needs {bits} bits", MAX_BITS, "lower the bits of the operand")
        scale = tuple(value / terms for value in x.quant.scale)
        return QuantSpec(bits, True, scale, (0,) * len(scale), x.quant.axis)

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """Place by place of the kernel."""
        vertical, horizontal = self._windows(inputs[0])
        dtype = np.dtype(np.float64) if out.quant is None else out.quant.container
        padded = with_padding(values[0].astype(dtype), vertical, horizontal, np.zeros((), dtype))
        places = each_place(padded, vertical, horizontal)
        total = np.array(next(places), order="C")
        for elements in places:
            total += elements
        return total if out.quant is not None else np.divide(total, self._divisors(inputs[0]), out=total)

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """One add per element of the image in each window, one div per result; on codes the division is in the scale."""
        vertical, horizontal = self._windows(inputs[0])
        images = out.shape[0] * out.shape[1]
        summed = images * int(vertical.inside().sum()) * int(horizontal.inside().sum())
        if out.quant is not None:
            return Counter({Action("add", inputs[0].bits, out.bits): summed})
        f = FLOAT_BITS
        return Counter({Action("add", f, f): summed, Action("div", f, f): out.elements})

    def _windows(self, x: TensorSpec) -> tuple[Windows, Windows]:
        return windows(x, self.kernel, self.stride, self.padding, ceil=self.ceil)

    def _divisors(self, x: TensorSpec) -> Array:
        """What each window's sum is divided by: (OH, OW)."""
        rows, columns = (w.padded() if self.count_padding else w.inside() for w in self._windows(x))
        return np.outer(rows, columns)
