"""Conv2d: acc (B, O, OH, OW) of x (B, C, H, W) and weight (O, C / groups, KH, KW), S3; padding holds real zeros, that
is codes equal to the zero point. The bias is an Add of its own."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from hwsim.kernels.tier import Grid
from hwsim.op import Action, Array, Gemm, Multiply, Op, Specs, need
from hwsim.ops._product import grid, integer_product, operand, product_count, product_spec, real
from hwsim.ops._windows import Windows, windows, with_padding
from hwsim.spec import QuantSpec, TensorSpec


@dataclass(frozen=True, slots=True)
class Conv2d(Op):
    """Two-dimensional convolution with `stride`, `padding` on both sides and `dilation`, all as (vertical, horizontal), and
    `groups`."""

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    groups: int = 1
    dilation: tuple[int, int] = (1, 1)

    onnx = "ConvInteger"
    torch = ("aten.conv2d",)

    def infer(self, inputs: Specs) -> TensorSpec:
        """Output height is (H + 2 pad - dilation (KH - 1) - 1) // stride + 1, width likewise."""
        x, weight = inputs
        need(len(weight.shape) == 4, "a kernel has 4 axes", weight, "reshape")
        vertical, horizontal = self._windows(x, weight)
        channels = weight.shape[1] * self.groups
        need(x.shape[1] == channels, f"the image must have {channels} channels", x, "check the layer")
        need(weight.shape[0] % self.groups == 0, "groups must divide the channels", self, "check the layer")
        depth = weight.shape[1] * weight.shape[2] * weight.shape[3]
        shape = (x.shape[0], weight.shape[0], vertical.count, horizontal.count)
        return product_spec(x, weight, depth, shape, {}, {0: 1})

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """Patches as rows (im2col), one product per group."""
        if out.quant is not None:
            return integer_product(self, values, inputs)
        batch = values[0].shape[0]

        def by_image(rows: Array, columns: Array) -> Array:
            """One product per image and group, because BLAS may sum in another order for more rows."""
            parts = np.matmul(rows.reshape(self.groups, batch, -1, rows.shape[-1]), columns[:, np.newaxis])
            return np.asarray(parts).reshape(self.groups, -1, columns.shape[-1])

        return self._patches(real(values[0], inputs[0]), real(values[1], inputs[1]), inputs, by_image)

    def product(self, values: tuple[Array, ...], inputs: Specs, multiply: Multiply, raw: bool = False) -> Array:
        """One product per group, of the patches of all images."""
        image, kernel = (operand(value, spec, raw) for value, spec in zip(values, inputs, strict=True))
        quant = inputs[0].quant
        zero = quant.zero_point[0] if raw and isinstance(quant, QuantSpec) else 0
        return self._patches(image, kernel, inputs, multiply, zero)

    def grids(self, inputs: Specs) -> tuple[Grid | None, Grid | None]:
        """Zero points of kernels may lie along the columns of each group."""
        return grid(inputs[0]), grid(inputs[1], columns=0, parts=self.groups)

    def _patches(self, image: Array, kernel: Array, inputs: Specs, multiply: Multiply, zero: int = 0) -> Array:
        vertical, horizontal = self._windows(*inputs)
        image = with_padding(image, vertical, horizontal, np.array(zero))
        reach = tuple(d * (k - 1) + 1 for d, k in zip(self.dilation, kernel.shape[2:], strict=True))
        patches = np.lib.stride_tricks.sliding_window_view(image, reach, axis=(2, 3))
        (high, wide), (down, right) = self.stride, self.dilation
        patches = patches[:, :, ::high, ::wide, ::down, ::right].transpose(0, 2, 3, 1, 4, 5)
        batch, height, width = patches.shape[:3]
        rows = _in_runs(patches).reshape(batch * height * width, self.groups, -1).transpose(1, 0, 2)
        columns = kernel.reshape(self.groups, kernel.shape[0] // self.groups, -1).transpose(0, 2, 1)
        flat = multiply(rows, columns).transpose(0, 2, 1).reshape(kernel.shape[0], batch, height, width)
        return np.ascontiguousarray(flat.transpose(1, 0, 2, 3))

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """MACs and zero-point corrections."""
        return product_count(self.gemm(inputs, out), *inputs)

    def gemm(self, inputs: Specs, out: TensorSpec) -> Gemm:
        """Patches times kernels, one product per group."""
        x, weight = inputs
        depth = weight.shape[1] * weight.shape[2] * weight.shape[3]
        rows = out.shape[0] * out.shape[2] * out.shape[3]
        return Gemm(self.groups, rows, depth, weight.shape[0] // self.groups, x.bits, weight.bits, b_static=True)

    def _windows(self, x: TensorSpec, weight: TensorSpec) -> tuple[Windows, Windows]:
        return windows(x, weight.shape[2:], self.stride, self.padding, self.dilation)


def _in_runs(patches: Array) -> Array:
    """A copy in C order; elements of the last axis that lie side by side are moved as one."""
    if patches.strides[-1] != patches.itemsize:
        return np.ascontiguousarray(patches)
    runs = patches.view(f"V{patches.shape[-1] * patches.itemsize}")
    return np.ascontiguousarray(runs).view(patches.dtype)
