"""ONNX's own node tests, and ONNX operators in terms of ours: the adapter between the two.

Every tensor becomes a constant (`batched=False`), so that all axes are free. Floats are float64; codes get the grid that
the ONNX operands say. What has no counterpart here raises `Outside`, or IllegalModel from the operator itself.
"""

import importlib
import math
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwsim.op import Array
from hwsim.ops.add import Add
from hwsim.ops.concat import Concat
from hwsim.ops.conv2d import Conv2d
from hwsim.ops.dequantize import Dequantize
from hwsim.ops.gelu import Gelu
from hwsim.ops.layernorm import LayerNorm
from hwsim.ops.matmul import MatMul
from hwsim.ops.mean import Mean
from hwsim.ops.mul import Mul
from hwsim.ops.quantize import Quantize
from hwsim.ops.requantize import Requantize
from hwsim.ops.reshape import Reshape
from hwsim.ops.slice import Slice
from hwsim.ops.softmax import Softmax
from hwsim.ops.transpose import Transpose
from hwsim.spec import QuantSpec, TensorSpec

Pair = tuple[Array, TensorSpec]


class Outside(Exception):
    """The case asks for something that hwsim has no operator for."""


@dataclass(frozen=True)
class Case:
    """One node with its attributes, operands and results as ONNX gives them."""

    name: str
    op_type: str
    attributes: dict[str, Any]
    inputs: list[Array]
    outputs: list[Array]
    rtol: float
    atol: float


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


def apply(op, *operands: Pair) -> Pair:
    """Infer and run."""
    specs = tuple(spec for _, spec in operands)
    out = op.infer(specs)
    return op.run(tuple(value for value, _ in operands), specs, out), out


def real(array: Array) -> Pair:
    """A float constant."""
    array = np.asarray(array, dtype=np.float64)
    return array, TensorSpec(array.shape, None, batched=False)


def grid(dtype, scale=1.0, zero=0, axis=None) -> QuantSpec:
    """The grid of an ONNX integer type; several scales or zero points lie along `axis`."""
    found = re.fullmatch(r"(u?)int(\d+)", dtype.name)
    if not found or int(found[2]) > 32:
        raise Outside(f"{dtype.name} is no integer of at most 32 bits")
    scale, zero = np.atleast_1d(scale).ravel(), np.atleast_1d(zero).ravel()
    count = max(scale.size, zero.size)
    scales, zeros = (np.broadcast_to(values, count).tolist() for values in (scale.astype(np.float64), zero.astype(int)))
    return QuantSpec(int(found[2]), not found[1], tuple(scales), tuple(zeros), axis if count > 1 else None)


def codes(array: Array, scale=1.0, zero=0, axis=None) -> Pair:
    """A constant of integer codes."""
    quant = grid(array.dtype, scale, zero, axis)
    return array.astype(quant.container), TensorSpec(array.shape, quant, batched=False)


def any_format(array: Array) -> Pair:
    """A float, or codes that stand for themselves."""
    return real(array) if array.dtype.kind == "f" else codes(array)


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
    stride = tuple(case.attributes.get("strides", (1, 1)))
    pads = case.attributes.get("pads", (0, 0, 0, 0))
    if case.attributes.get("auto_pad", b"NOTSET").startswith(b"SAME"):
        sizes = zip(x.shape[2:], w.shape[2:], stride, strict=True)
        total = [max((math.ceil(size / step) - 1) * step + window - size, 0) for size, window, step in sizes]
        pads = [t // 2 for t in total] + [t - t // 2 for t in total]
    if tuple(pads[:2]) != tuple(pads[2:]):
        raise Outside("padding is the same on both sides")
    return Conv2d(stride, tuple(pads[:2]), case.attributes.get("group", 1))


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
    if case.attributes.get("approximate", b"none") != b"none":
        raise Outside("gelu is the exact one, not the tanh approximation")
    return [apply(Gelu(), real(case.inputs[0]))[0]]


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
    "Concat": concat,
    "Conv": conv,
    "ConvInteger": conv_integer,
    "DequantizeLinear": dequantize_linear,
    "DynamicQuantizeLinear": dynamic_quantize_linear,
    "Gelu": gelu,
    "Gemm": gemm,
    "LayerNormalization": layer_normalization,
    "MatMul": matmul,
    "MatMulInteger": matmul_integer,
    "Mul": mul,
    "QLinearConv": qlinear_conv,
    "QLinearMatMul": qlinear_matmul,
    "QuantizeLinear": quantize_linear,
    "ReduceMean": reduce_mean,
    "Reshape": reshape,
    "Slice": slice_,
    "Softmax": softmax,
    "Transpose": transpose,
}
