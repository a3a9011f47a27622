"""The worked examples of docs/semantics.md that belong to no single integer operator: S1 to S10 and S17."""

import re
from pathlib import Path

import numpy as np
import pytest

from hwsim.ops.add import Add
from hwsim.ops.concat import Concat
from hwsim.ops.gelu import Gelu
from hwsim.ops.gelutanh import GeluTanh
from hwsim.ops.layernorm import LayerNorm
from hwsim.ops.matmul import MatMul
from hwsim.ops.maxpool2d import MaxPool2d
from hwsim.ops.mean import Mean
from hwsim.ops.mul import Mul
from hwsim.ops.quantize import Quantize
from hwsim.ops.relu import Relu
from hwsim.ops.requantize import Requantize
from hwsim.ops.reshape import Reshape
from hwsim.ops.roll import Roll
from hwsim.ops.silu import Silu
from hwsim.ops.slice import Slice
from hwsim.ops.softmax import Softmax
from hwsim.ops.transpose import Transpose
from hwsim.spec import QuantSpec, TensorSpec

TEXT = (Path(__file__).parents[1] / "docs" / "semantics.md").read_text()
U4 = QuantSpec(4, False, (0.5,), (3,))
S8 = QuantSpec(8, True, (0.75,))


def run(op, *operands):
    """The value that `op` makes of (array, grid or None) pairs, the leading axis of each being the batch of one image."""
    arrays = [np.asarray(array) for array, _ in operands]
    specs = tuple(TensorSpec(a.shape, grid) for a, (_, grid) in zip(arrays, operands, strict=True))
    return op.run(tuple(arrays), specs, op.infer(specs))


def test_every_section_has_an_example():
    sections = re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
    tagged = {section.split()[0]: section for section in sections if re.match(r"S\d+ ", section)}
    assert list(tagged) == [f"S{i}" for i in range(1, 18)]
    assert [tag for tag, section in tagged.items() if "*Example" not in section] == []


def test_s1_and_s2():
    assert U4.to_real(np.array([0, 3, 15])).tolist() == [-1.5, 0.0, 6.0]
    assert run(Quantize(U4), (np.array([[0.25, 0.75, 100.0]]), None)).tolist() == [[3, 5, 15]]


def test_s3():
    a, b = QuantSpec(4, False, (1.0,), (3,)), QuantSpec(4, True, (1.0,))
    values = np.array([[[5, 2]]], np.uint8), np.array([[[1], [-2]]], np.int8)
    assert run(MatMul(), (values[0], a), (values[1], b)).tolist() == [[[4]]]


@pytest.mark.parametrize(("rounding", "wanted"), [("half_even", [0, 2, 2]), ("half_up", [1, 2, 3])])
def test_s4(rounding, wanted):
    op = Requantize(QuantSpec(8, True, (2.0,)), (1 << 30,), (31,), rounding=rounding)
    assert run(op, (np.array([[1, 3, 5]], np.int32), QuantSpec(32, True, (1.0,)))).tolist() == [wanted]


def test_s5_to_s8():
    x = TensorSpec((1, 4))
    weight, bias = (TensorSpec((4,), None, batched=False),) * 2
    values = np.array([[1.0, 3.0, 5.0, 7.0]]), np.full(4, 2.0), np.ones(4)
    norm = LayerNorm(0.0).run(values, (x, weight, bias), x)
    np.testing.assert_allclose(norm, [[-1.683, 0.106, 1.894, 3.683]], atol=5e-4)
    np.testing.assert_allclose(run(Softmax(), ([[2.0, 2.0, 1.0]], None)), [[0.4223, 0.4223, 0.1554]], atol=5e-5)
    np.testing.assert_allclose(run(Gelu(), ([[-1.0, 0.0, 2.0]], None)), [[-0.1587, 0.0, 1.9545]], atol=5e-5)
    np.testing.assert_allclose(run(GeluTanh(), ([[-1.0, 0.0, 2.0]], None)), [[-0.1588, 0.0, 1.9546]], atol=5e-5)
    np.testing.assert_allclose(run(Silu(), ([[-1.0, 0.0, 2.0]], None)), [[-0.2689, 0.0, 1.7616]], atol=5e-5)
    assert run(Add(), ([[3.0, 4.0]], None), ([[0.5]], None)).tolist() == [[3.5, 4.5]]
    assert run(Mul(), ([[3.0, 4.0]], None), ([[0.125]], None)).tolist() == [[0.375, 0.5]]


def test_s9():
    codes = np.array([[[1, 2, 3], [4, 5, 6]]], np.int8)
    assert run(Transpose((0, 2, 1)), (codes, S8)).tolist() == [[[1, 4], [2, 5], [3, 6]]]
    assert run(Reshape((1, 3, 2)), (codes, S8)).tolist() == [[[1, 2], [3, 4], [5, 6]]]
    assert run(Roll((1,), (2,)), (codes, S8)).tolist() == [[[3, 1, 2], [6, 4, 5]]]
    assert run(Slice(2, 1, 3), (codes, S8)).tolist() == [[[2, 3], [5, 6]]]
    token = np.array([[[7, 8, 9]]], np.int8)
    assert run(Concat(1), (token, S8), (codes, S8)).tolist() == [[[7, 8, 9], [1, 2, 3], [4, 5, 6]]]


def test_s10():
    byte = QuantSpec(8, True, (1.0,))
    a, b = np.array([[100]], np.int8), np.array([[60]], np.int8)
    assert run(Add(), (a, byte), (b, byte)).tolist() == [[160]]
    assert Add().infer((TensorSpec((1, 1), byte),) * 2).bits == 9
    assert run(Add(8), (a, byte), (b, byte)).tolist() == [[127]]
    mean = Mean((1,)).infer((TensorSpec((1, 3), S8),))
    assert run(Mean((1,)), (np.array([[1, 2, 4]], np.int8), S8)).tolist() == [7]
    assert mean.quant.to_real(np.array([7])).tolist() == [1.75]
    codes, grid = np.array([[[[2, 5, 9]]]], np.uint8), QuantSpec(4, False, (1.0,), (5,))
    positive = run(Relu(), (codes, grid))
    assert positive.tolist() == [[[[5, 5, 9]]]]
    assert run(MaxPool2d((1, 3), (1, 3)), (positive, grid)).tolist() == [[[[9]]]]


def test_s17():
    acc = TensorSpec((1, 1), QuantSpec(16, True, (0.02,)))
    grid = QuantSpec(4, True, (0.5,))
    op = Requantize(grid, (round(0.04 * 1024),), (10,), offset=(round(0.22 * 1024),))
    assert (op.multiplier, op.offset) == ((41,), (225,))
    assert run(op, (np.array([[30]], np.int32), acc.quant)).tolist() == [[1]]
