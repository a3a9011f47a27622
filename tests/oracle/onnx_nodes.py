"""ONNX's own node tests, and ONNX operators in terms of ours: the adapter between the two."""

import importlib
import math
import warnings
from collections.abc import Callable

import numpy as np
from onnx_cases import Case, Outside, any_format, apply, codes, grid, real
from onnx_floats import clip, div, reduce_l2, rms_normalization, sigmoid, sub, swish

from hwsim.op import Array
from hwsim.ops.add import Add
from hwsim.ops.avgpool2d import AvgPool2d
from hwsim.ops.concat import Concat
from hwsim.ops.conv2d import Conv2d
from hwsim.ops.dequantize import Dequantize
from hwsim.ops.gelu import Gelu
from hwsim.ops.gelutanh import GeluTanh
from hwsim.ops.groupnorm import GroupNorm
from hwsim.ops.layernorm import LayerNorm
from hwsim.ops.matmul import MatMul
from hwsim.ops.maxpool2d import MaxPool2d
from hwsim.ops.mean import Mean
from hwsim.ops.mul import Mul
from hwsim.ops.pad import Pad
from hwsim.ops.quantize import Quantize
from hwsim.ops.relu import Relu
from hwsim.ops.requantize import Requantize
from hwsim.ops.reshape import Reshape
from hwsim.ops.slice import Slice
from hwsim.ops.softmax import Softmax
from hwsim.ops.transpose import Transpose


def load() -> list[Case]:
    """All single-node cases of the operators in RUN, sorted; expansions of functions into other nodes are not among them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx import helper, numpy_helper
        from onnx.backend.test.case import node

        for op_type in RUN:  # all node tests take 5 s to build, these 0.3 s
            importlib.import_module(f"{node.__name__}.{op_type.lower()}")
    cases = []
    for built in node._NodeTestCases:
        nodes = built.model.graph.node
        if len(nodes) == 1 and nodes[0].op_type in RUN:
            attributes = {a.name: helper.get_attribute_value(a) for a in nodes[0].attribute}
            ((inputs, outputs),) = (
                [[v if hasattr(v, "dtype") else numpy_helper.to_array(v) for v in values] for values in data]
                for data in built.data_sets
            )
            cases.append(Case(built.name, nodes[0].op_type, attributes, inputs, outputs, built.rtol, built.atol))
    return sorted(cases, key=lambda case: (case.op_type, case.name))


def _in_blocks(array: Array, axis: int, size: int) -> Array:
    """Blocks of `size` along `axis` as the last axis."""
    return np.moveaxis(array.reshape(*array.shape[:axis], -1, size, *array.shape[axis + 1 :]), axis + 1, -1)


def _blockwise(case: Case, run: Callable[[Array, int | None], Array]) -> list[Array]:
    """`run` on x with its channel axis; blocks of an axis become rows, each with a scale of its own."""
    x, scale = case.inputs[:2]
    axis, size = case.attributes.get("axis", 1), case.attributes.get("block_size", 0)
    if not size:
        return [run(x, axis)]
    blocks = _in_blocks(x, axis, size)
    assert blocks.shape[:-1] == scale.shape
    return [np.moveaxis(run(blocks.reshape(-1, size), 0).reshape(blocks.shape), -1, axis + 1).reshape(x.shape)]


def quantize_linear(case: Case) -> list[Array]:
    _, scale, *zero = case.inputs
    dtype = case.outputs[0].dtype
    return _blockwise(case, lambda x, axis: apply(Quantize(grid(dtype, scale, *zero, axis=axis)), real(x))[0])


def dequantize_linear(case: Case) -> list[Array]:
    _, scale, *zero = case.inputs
    return _blockwise(case, lambda x, axis: apply(Dequantize(), codes(x, scale, *zero, axis=axis))[0])


def dynamic_quantize_linear(case: Case) -> list[Array]:
    """The codes; scale and zero point are what the case says, since here calibration finds them."""
    wanted, scale, zero = case.outputs
    return [apply(Quantize(grid(wanted.dtype, scale, zero)), real(case.inputs[0]))[0]]


def matmul_integer(case: Case) -> list[Array]:
    a, b, za, zb = case.inputs
    return [apply(MatMul(), codes(a, zero=za), codes(b, zero=zb))[0]]


def qlinear_matmul(case: Case) -> list[Array]:
    a, sa, za, b, sb, zb, *out = case.inputs
    acc = apply(MatMul(), codes(a, sa, za), codes(b, sb, zb))
    return [apply(Requantize.between(acc[1], grid(case.outputs[0].dtype, *out)), acc)[0]]


def conv_integer(case: Case) -> list[Array]:
    x, w, zx, *zw = case.inputs
    return [apply(_conv2d(case, x, w), codes(x, zero=zx), codes(w, 1.0, *zw, axis=0))[0]]


def qlinear_conv(case: Case) -> list[Array]:
    x, sx, zx, w, sw, zw, *out = case.inputs
    acc = apply(_conv2d(case, x, w), codes(x, sx, zx), codes(w, sw, zw, axis=0))
    return [apply(Requantize.between(acc[1], grid(case.outputs[0].dtype, *out)), acc)[0]]


def conv(case: Case) -> list[Array]:
    x, w = case.inputs
    return [apply(_conv2d(case, x, w), real(x), real(w))[0]]


def _conv2d(case: Case, x: Array, w: Array) -> Conv2d:
    stride, padding, dilation = _windows(case, x, w.shape[2:])
    if len(padding) > 2:
        raise Outside("padding is the same on both sides")
    return Conv2d(stride, padding, case.attributes.get("group", 1), dilation)


def _windows(case: Case, x: Array, kernel: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Stride, padding and dilation of two axes; padding as (top, left, bottom, right) where its sides differ."""
    if x.ndim != 4:
        raise Outside("an image has a height and a width alone")
    stride, dilation = (tuple(case.attributes.get(key, (1, 1))) for key in ("strides", "dilations"))
    pads = case.attributes.get("pads", (0, 0, 0, 0))
    automatic = case.attributes.get("auto_pad", b"NOTSET")
    if automatic.startswith(b"SAME"):
        sizes = zip(x.shape[2:], kernel, stride, strict=True)
        total = [max((math.ceil(size / step) - 1) * step + window - size, 0) for size, window, step in sizes]
        less, more = [t // 2 for t in total], [t - t // 2 for t in total]
        pads = more + less if automatic.endswith(b"LOWER") else less + more
    alike = tuple(pads[:2]) == tuple(pads[2:])
    return stride, tuple(pads[:2] if alike else pads), dilation


def max_pool(case: Case) -> list[Array]:
    """With a Pad before it where the padding differs from side to side."""
    (x,), attributes = case.inputs, case.attributes
    if len(case.outputs) > 1:
        raise Outside("a maximum is given without its place")
    kernel = tuple(attributes["kernel_shape"])
    stride, padding, dilation = _windows(case, x, kernel)
    image = any_format(x)
    if len(padding) > 2:
        image = apply(Pad((0, 0, *padding[:2]), (0, 0, *padding[2:]), lowest=True), image)
        padding = (0, 0)
    op = MaxPool2d(kernel, stride, padding, dilation, bool(attributes.get("ceil_mode", 0)))
    return [apply(op, image)[0]]


def average_pool(case: Case) -> list[Array]:
    (x,), attributes = case.inputs, case.attributes
    kernel = tuple(attributes["kernel_shape"])
    stride, padding, dilation = _windows(case, x, kernel)
    if dilation != (1, 1) or len(padding) > 2:
        raise Outside("a mean is of neighbours, with the same padding on both sides")
    ceil, count = (bool(attributes.get(key, 0)) for key in ("ceil_mode", "count_include_pad"))
    return [apply(AvgPool2d(kernel, stride, padding, ceil, count), real(x))[0]]


def global_average_pool(case: Case) -> list[Array]:
    return [apply(Mean((2, 3), keep=True), real(case.inputs[0]))[0]]


def group_normalization(case: Case) -> list[Array]:
    x, weight, bias = case.inputs
    op = GroupNorm(case.attributes["num_groups"], case.attributes.get("epsilon", 1e-5))
    return [apply(op, real(x), real(weight), real(bias))[0]]


def relu(case: Case) -> list[Array]:
    return [apply(Relu(), any_format(case.inputs[0]))[0]]


def pad(case: Case) -> list[Array]:
    """With another number than zero around it: less that number, padded, and the number added again."""
    x, pads, *rest = case.inputs
    fill = rest[0].item() if rest and rest[0].size else 0
    if case.attributes.get("mode", b"constant") != b"constant":
        raise Outside("padding is constant")
    axes = rest[1].tolist() if len(rest) > 1 else range(x.ndim)
    sides = [[0] * x.ndim, [0] * x.ndim]
    for index, axis in enumerate(axes):
        sides[0][axis], sides[1][axis] = pads[index].item(), pads[len(axes) + index].item()
    shifted = apply(Add(), real(x), real(-fill))
    return [apply(Add(), apply(Pad(*map(tuple, sides)), shifted), real(fill))[0]]


def reshape(case: Case) -> list[Array]:
    x, target = case.inputs
    copied = [size or (0 if case.attributes.get("allowzero") else x.shape[i]) for i, size in enumerate(target.tolist())]
    if -1 in copied:
        copied[copied.index(-1)] = x.size // -math.prod(copied)
    return [apply(Reshape(tuple(copied)), real(x))[0]]


def transpose(case: Case) -> list[Array]:
    (x,) = case.inputs
    return [apply(Transpose(tuple(case.attributes.get("perm", range(x.ndim)[::-1]))), real(x))[0]]


def slice_(case: Case) -> list[Array]:
    """One Slice per axis."""
    x, starts, stops, *rest = case.inputs
    axes, steps = (rest + [np.arange(len(starts)), np.ones_like(starts)][len(rest) :])[:2]
    value = real(x)
    for start, stop, axis, step in zip(*(v.tolist() for v in (starts, stops, axes, steps)), strict=True):
        axis %= x.ndim
        value = apply(Slice(axis, *slice(start, stop, step).indices(x.shape[axis])), value)
    return [value[0]]


def concat(case: Case) -> list[Array]:
    return [apply(Concat(case.attributes["axis"] % case.inputs[0].ndim), *map(real, case.inputs))[0]]


def softmax(case: Case) -> list[Array]:
    """Over another axis than the last between two transpositions."""
    (x,) = case.inputs
    order = list(range(x.ndim))
    order[case.attributes.get("axis", -1)], order[-1] = order[-1], order[case.attributes.get("axis", -1)]
    turned = apply(Transpose(tuple(order)), real(x))
    return [apply(Transpose(tuple(order)), apply(Softmax(), turned))[0]]


def layer_normalization(case: Case) -> list[Array]:
    """Over several axes as one; the mean and the deviation that ONNX gives besides have no counterpart."""
    x, weight, bias = case.inputs
    rows = apply(Reshape((x.size // weight.size, weight.size)), real(x))
    normed = apply(LayerNorm(case.attributes.get("epsilon", 1e-5)), rows, real(weight.ravel()), real(bias.ravel()))
    return [apply(Reshape(x.shape), normed)[0]]


def gelu(case: Case) -> list[Array]:
    op = GeluTanh() if case.attributes.get("approximate") == b"tanh" else Gelu()
    return [apply(op, real(case.inputs[0]))[0]]


def add(case: Case) -> list[Array]:
    return [apply(Add(), *map(any_format, case.inputs))[0]]


def mul(case: Case) -> list[Array]:
    return [apply(Mul(), *map(any_format, case.inputs))[0]]


def reduce_mean(case: Case) -> list[Array]:
    x, axes = case.inputs
    chosen = tuple(axis % x.ndim for axis in axes.tolist()) or tuple(range(x.ndim))
    return [apply(Mean(chosen, bool(case.attributes.get("keepdims", 1))), real(x))[0]]


def matmul(case: Case) -> list[Array]:
    """A vector becomes a row on the left, a column on the right."""
    a, b = case.inputs
    left, right = a[np.newaxis] if a.ndim == 1 else a, b[:, np.newaxis] if b.ndim == 1 else b
    return [apply(MatMul(), real(left), real(right))[0].reshape(case.outputs[0].shape)]


def gemm(case: Case) -> list[Array]:
    """alpha A B + beta C, with A and B transposed on demand."""
    a, b, *c = case.inputs
    a, b = (m.T if case.attributes.get(key) else m for m, key in ((a, "transA"), (b, "transB")))
    total = apply(Mul(), apply(MatMul(), real(a), real(b)), real(case.attributes.get("alpha", 1.0)))
    for bias in c:
        total = apply(Add(), total, apply(Mul(), real(bias), real([case.attributes.get("beta", 1.0)])))
    return [total[0]]


RUN: dict[str, Callable[[Case], list[Array]]] = {
    "Add": add,
    "Clip": clip,
    "Div": div,
    "RMSNormalization": rms_normalization,
    "ReduceL2": reduce_l2,
    "Sigmoid": sigmoid,
    "Sub": sub,
    "Swish": swish,
    "AveragePool": average_pool,
    "Concat": concat,
    "Conv": conv,
    "ConvInteger": conv_integer,
    "DequantizeLinear": dequantize_linear,
    "DynamicQuantizeLinear": dynamic_quantize_linear,
    "Gelu": gelu,
    "Gemm": gemm,
    "GlobalAveragePool": global_average_pool,
    "GroupNormalization": group_normalization,
    "LayerNormalization": layer_normalization,
    "MatMul": matmul,
    "MatMulInteger": matmul_integer,
    "MaxPool": max_pool,
    "Mul": mul,
    "Pad": pad,
    "QLinearConv": qlinear_conv,
    "QLinearMatMul": qlinear_matmul,
    "QuantizeLinear": quantize_linear,
    "ReduceMean": reduce_mean,
    "Relu": relu,
    "Reshape": reshape,
    "Slice": slice_,
    "Softmax": softmax,
    "Transpose": transpose,
}
