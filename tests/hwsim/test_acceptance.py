"""What holds for every code of a product, checked for every code; its width; and heads drawn at random."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowered import BYTES, X, lowered, reals

from hwsim.graph import Node, build
from hwsim.grids.log2 import log2
from hwsim.grids.logsqrt2 import logsqrt2
from hwsim.grids.sulq import sulq
from hwsim.ops.conv2d import Conv2d
from hwsim.ops.dequantize import Dequantize
from hwsim.ops.linear import Linear
from hwsim.ops.matmul import MatMul
from hwsim.ops.quantize import Quantize
from hwsim.simulator import as_codes, simulate
from hwsim.spec import QuantSpec, TensorSpec

TERMS = 3
V = QuantSpec(8, True, (0.02,))


def every_row(grid):
    """All rows (1, codes^TERMS, TERMS) of codes that there are."""
    return np.array(list(itertools.product(range(1 << grid.bits), repeat=TERMS)), np.uint8)[np.newaxis]


def product(grid, codes, v):
    """The accumulators of codes (1, M, TERMS) and v (1, TERMS, N) in a graph, as the simulator's kernels make them."""
    inputs = {"a": TensorSpec(codes.shape, grid), "v": TensorSpec(v.shape, V)}
    graph = build("av", inputs, {}, [Node("acc", MatMul(), ("a", "v"))], ["acc"])
    feeds = {"a": codes, "v": v}
    return simulate(graph, feeds)["acc"].astype(object), graph.specs["acc"].quant.scale[0]


@pytest.fixture
def v():
    return np.random.default_rng(0).integers(-128, 128, (1, TERMS, 5)).astype(np.int8)


@pytest.mark.parametrize("zero", [True, False], ids=["zero", "no zero"])
@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_log_codes_shift_whatever_they_are(v, bits, zero):
    """sum of 2^(F - c) v, where the last code is nothing at all if it stands for zero."""
    grid = log2(bits, zero=zero)
    codes, last = every_row(grid), (1 << bits) - 1
    most = last - 1 if zero else last
    weight = np.array([0 if zero and c == last else 2 ** (most - c) for c in range(last + 1)], object)
    acc, scale = product(grid, codes, v)
    assert len(acc[0]) == 2 ** (bits * TERMS)
    np.testing.assert_array_equal(acc, np.matmul(weight[codes], v.astype(object)))
    assert scale == 2.0**-most * V.scale[0]


@pytest.mark.parametrize(("bits", "step", "eta"), [(2, 1.0, 1), (3, 1.0, 3), (3, 1.5, 40), (4, 0.664, 1)])
def test_sulq_is_its_dense_evaluation(v, bits, step, eta):
    """2^-e - eta for each code in real numbers, multiplied and summed; the integers shift, and take off eta times sum(v)."""
    grid = sulq(bits, eta=eta, step=step)
    exponents = [round(step * i) for i in range(1 << bits)]
    real = np.array([2.0**-e - eta * 2.0 ** -exponents[-1] for e in exponents])
    codes = every_row(grid)
    acc, scale = product(grid, codes, v)
    dense = np.matmul(real[codes], v * V.scale[0])
    np.testing.assert_allclose(acc.astype(float) * scale, dense, rtol=1e-12, atol=1e-12)
    shifted = np.matmul(np.array([2 ** (exponents[-1] - e) for e in exponents], object)[codes], v.astype(object))
    np.testing.assert_array_equal(acc, shifted - eta * v.astype(object).sum(1, keepdims=True))


@pytest.mark.parametrize("bits", [2, 3])
def test_odd_codes_of_log_sqrt2_have_a_bank_of_their_own(v, bits):
    """E + sqrt(2) O with sqrt(2) as 181 / 2^7: even and odd codes summed apart."""
    grid = logsqrt2(bits, zero=False)
    codes, most = every_row(grid), (1 << bits) // 2
    even, odd = (
        np.array([2 ** (most - (c + 1) // 2) if c % 2 == own else 0 for c in range(1 << bits)], object)[codes]
        for own in (0, 1)
    )
    acc, scale = product(grid, codes, v)
    banks = [np.matmul(bank, v.astype(object)) for bank in (even, odd)]
    np.testing.assert_array_equal(acc, banks[0] * 128 + banks[1] * 181)
    assert scale == V.scale[0] * 2.0 ** -(most + 7)


@pytest.mark.parametrize("seed", range(20))
def test_the_class_is_that_of_the_float_head(seed):
    """Scales of weights per class, over three decades: the integer form brings logits onto one grid before the maximum."""
    generator, classes = np.random.default_rng(seed), 10
    scales = tuple(10 ** generator.uniform(-3, 0, classes))
    weight = generator.integers(-128, 128, (classes, 4)).astype(np.int8)
    spec = TensorSpec(weight.shape, QuantSpec(8, True, scales, (0,) * classes, 0), batched=False)
    nodes = [
        Node("x.codes", Quantize(BYTES), ("x",)),
        Node("head", Linear(), ("x.codes", "w")),
        Node("y", Dequantize(), ("head",)),
    ]
    mixed = build("head", {"x": X}, {"w": (weight, spec)}, nodes, ["y"])
    feeds = {"x": generator.normal(0, 1, (40, 3, 4))}
    wanted = reals(mixed, feeds)
    graph = lowered(mixed, "lut", feeds)
    codes = simulate(graph, as_codes(graph, feeds), ["head"])
    step = graph.specs[graph.outputs[0]].quant.scale[0]
    first, second = np.moveaxis(np.sort(wanted, axis=-1)[..., :-3:-1], -1, 0)
    sure = first - second > step  # else both may have one code
    assert sure.mean() > 0.95
    np.testing.assert_array_equal(codes[graph.outputs[0]].argmax(-1)[sure], wanted.argmax(-1)[sure])
    assert (codes["head"].argmax(-1) != wanted.argmax(-1)).any()


def extremes(apply, op, grids, shapes, batched):
    """The least and the greatest sum of all-extreme operands, every combination; the width that is declared."""
    sums = [0]
    specs = [TensorSpec(shape, grid, b) for shape, grid, b in zip(shapes, grids, batched, strict=True)]
    for codes in itertools.product(*((grid.qmin, grid.qmax) for grid in grids)):
        operands = [
            np.full(shape, code, grid.container) for shape, code, grid in zip(shapes, codes, grids, strict=True)
        ]
        acc, out = apply(op, *zip(operands, specs, strict=True))
        sums += acc.ravel().tolist()
    return min(sums), max(sums), out.quant.bits


@given(data=st.data(), depth=st.integers(1, 300), channels=st.integers(1, 3), kernel=st.sampled_from(((1, 1), (3, 2))))
def test_the_widths_of_products_and_convolutions_are_reached_and_never_exceeded(
    draw, apply, data, depth, channels, kernel
):
    """For layers: tests/hwsim/ops/test_linear.py."""
    grids = draw.grid(data), draw.grid(data)
    image, weight = (1, 2 * channels, 4, 3), (4, channels, *kernel)
    for op, shapes, batched in (
        (MatMul(), ((1, 2, 2, depth), (1, 2, depth, 2)), (True, True)),
        (Conv2d((1, 1), (0, 0), 2), (image, weight), (True, False)),
        (Conv2d((1, 1), (1, 1), 2), (image, weight), (True, False)),  # padding is real zeros
    ):
        low, high, bits = extremes(apply, op, grids, shapes, batched)
        assert -(2 ** (bits - 1)) <= low <= high < 2 ** (bits - 1)
        assert bits == 1 or not (-(2 ** (bits - 2)) <= low <= high < 2 ** (bits - 2))
