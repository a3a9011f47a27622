"""TOSA's conformance tests, with the results of its reference model: RESCALE is our requantize (S4), MATMUL our matmul.

The data are in tests/data/tosa. All cases of the integer profile run, except INEXACT_ROUND, which promises no integers.
Those of the int16 extension are not among them: 40 of RESCALE take 48-bit integers and 3 of MATMUL make them, and a wire
here has at most 32 bits. The last test shows that such a product is refused.
"""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from hwsim.errors import IllegalModel
from hwsim.ops.matmul import MatMul
from hwsim.ops.requantize import Requantize
from hwsim.spec import QuantSpec, TensorSpec

DATA = Path(__file__).parents[1] / "data" / "tosa"


def _load():
    """Every case with its arrays, which lie behind one another in one array per type."""
    cases = json.loads((DATA / "cases.json").read_text(encoding="utf-8"))
    with np.load(DATA / "tensors.npz", allow_pickle=False) as stored:
        flat = {name: stored[name] for name in stored.files}
    used = Counter()
    for case in cases:
        case["arrays"] = {}
        for key, (dtype, shape, *_) in case["tensors"].items():
            start, size = used[dtype], int(np.prod(shape))
            case["arrays"][key] = flat[dtype][start : start + size].reshape(shape)
            used[dtype] += size
    assert used == {name: array.size for name, array in flat.items()}
    return cases


CASES = _load()


def _grid(case, key):
    dtype, _, zero_point = case["tensors"][key]
    info = np.iinfo(dtype)
    return QuantSpec(info.bits, info.min < 0, (1.0,), (zero_point,))


def _of(op):
    cases = [case for case in CASES if case["op"] == op]
    return pytest.mark.parametrize("case", cases, ids=[case["name"] for case in cases])


def test_how_many_there_are():
    assert Counter((case["op"], case.get("rounding")) for case in CASES) == {
        ("rescale", "half_up"): 135,
        ("rescale", "double_round"): 127,
        ("matmul", None): 6,
    }


def _rescale(apply, case, rounding):
    arrays = case["arrays"]
    multiplier, shift = (tuple(arrays[key].tolist()) for key in ("multiplier", "shift"))
    axis = 1 if case["per_channel"] else None
    x = TensorSpec((1, arrays["x"].shape[1]), _grid(case, "x"))
    return apply(Requantize(_grid(case, "result"), multiplier, shift, axis, rounding), (arrays["x"], x))[0]


@_of("rescale")
def test_rescale(apply, case):
    codes = _rescale(apply, case, case["rounding"])
    assert codes.dtype == case["arrays"]["result"].dtype
    np.testing.assert_array_equal(codes, case["arrays"]["result"])


@_of("matmul")
def test_matmul(apply, case):
    a, b = ((case["arrays"][key], TensorSpec((1, *case["tensors"][key][1][1:]), _grid(case, key))) for key in "ab")
    acc, _ = apply(MatMul(), a, b)
    np.testing.assert_array_equal(acc, case["arrays"]["result"])


def test_another_rounding_would_be_noticed(apply):
    """The cases tell the modes apart: run with the wrong one, many of them fail."""
    wrong = Counter()
    for case in CASES:
        if case["op"] == "rescale":
            for mode in {"floor", "half_up", "double_round"} - {case["rounding"]}:
                codes = _rescale(apply, case, mode)
                wrong[case["rounding"], mode] += not np.array_equal(codes, case["arrays"]["result"])
    assert set(wrong) == {
        (a, b) for a in ("half_up", "double_round") for b in ("floor", "half_up", "double_round") if a != b
    }
    assert min(wrong.values()) > 10


def test_products_of_16_bits_do_not_fit():
    """matmul_26x63x17_i16xi16_outi48 of the int16 extension."""
    operands = tuple(TensorSpec((1, *shape), QuantSpec(16, True, (1.0,))) for shape in ((63, 17), (17, 17)))
    with pytest.raises(IllegalModel) as caught:
        MatMul().infer(operands)
    assert str(caught.value) == "accumulator needs 36 bits, got 32; lower the bits of an operand"
