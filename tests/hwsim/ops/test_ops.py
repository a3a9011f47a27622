"""Contract of the catalogue hwsim.ops: each file keeps the house rules, on an example that this file must hold."""

import dataclasses
import importlib
import inspect

import numpy as np
import pytest

from hwsim import catalog
from hwsim.cost.groups import VIEWS
from hwsim.grids.log2 import log2
from hwsim.kernels.tier import together
from hwsim.op import Action, Gemm, Op
from hwsim.spec import QuantSpec, TensorSpec

NAMES = catalog.names("hwsim.ops")
CODES = QuantSpec(4, False, (0.25,), (5,))
WEIGHT = QuantSpec(4, True, (0.5, 0.25, 0.125), (0, -1, 7), 0)
BYTES = QuantSpec(8, True, (0.1,))
ACC = QuantSpec(20, True, (0.01,))
SHIFTS = log2(2)


def _spec(*shape, quant=None, constant=False):
    return TensorSpec(shape, quant, batched=not constant)


EXAMPLES = {  # name: attributes, operands
    "add": ({}, [_spec(1, 3, 4), _spec(4, constant=True)]),
    "avgpool2d": (
        {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 0), "ceil": True, "count_padding": False},
        [_spec(1, 3, 5, 4)],
    ),
    "concat": ({"axis": 1}, [_spec(1, 1, 4, quant=CODES, constant=True), _spec(1, 3, 4, quant=CODES)]),
    "conv2d": (
        {"stride": (2, 1), "padding": (1, 0), "groups": 3},
        [_spec(1, 6, 5, 4, quant=CODES), _spec(3, 2, 3, 2, quant=WEIGHT, constant=True)],
    ),
    "clip": ({"least": 0.5, "most": 2.0}, [_spec(1, 3, 4)]),
    "dequantize": ({}, [_spec(1, 3, 4, quant=ACC)]),
    "div": ({}, [_spec(1, 3, 4), _spec(1, 3, 1)]),
    "encode": ({"spec": SHIFTS, "thresholds": (-2, 1, 9)}, [_spec(1, 3, 4, quant=CODES)]),
    "gelu": ({}, [_spec(1, 3, 4)]),
    "gelutanh": ({}, [_spec(1, 3, 4)]),
    "groupnorm": ({"groups": 2}, [_spec(1, 4, 3, 2), _spec(4, constant=True), _spec(4, constant=True)]),
    "ibertsoftmax": ({"ln2": 7, "b": 27, "c": 279, "fraction_bits": 3}, [_spec(1, 3, 4, quant=BYTES)]),
    "igelu": ({"b": 25, "c": 693, "shift": 4}, [_spec(1, 3, 4, quant=BYTES)]),
    "ilayernorm": (
        {"spec": CODES, "gain": (9, -7, 0, 5), "offset": (2**29, 0, 2**32, -1), "shift": 31, "epsilon": 4},
        [_spec(1, 3, 4, quant=BYTES)],
    ),
    "layernorm": ({"epsilon": 1e-6}, [_spec(1, 3, 4), _spec(4, constant=True), _spec(4, constant=True)]),
    "linear": ({}, [_spec(1, 7, 5, quant=CODES), _spec(3, 5, quant=WEIGHT, constant=True)]),
    "logintsoftmax": ({"ln2": 7, "b": 27, "c": 279, "fraction_bits": 3}, [_spec(1, 3, 4, quant=BYTES)]),
    "lookup": ({"table": tuple(range(-8, 8)), "spec": QuantSpec(4, True, (0.5,))}, [_spec(1, 3, 4, quant=CODES)]),
    "matmul": ({}, [_spec(1, 2, 7, 5, quant=CODES), _spec(1, 2, 5, 3, quant=BYTES)]),
    "maxpool2d": (
        {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 1), "dilation": (1, 2), "ceil": True},
        [_spec(1, 3, 6, 4, quant=CODES)],
    ),
    "mean": ({"axes": (1,), "keep": True}, [_spec(1, 3, 4)]),
    "mul": ({}, [_spec(1, 3, 4), _spec(1, 3, 4)]),
    "pad": ({"before": (0, 1, 0), "after": (0, 0, 2)}, [_spec(1, 3, 4, quant=CODES)]),
    "ptflayernorm": (
        {"spec": CODES, "alpha": (2, 2, 3, 5), "gain": (9, -7, 0, 5), "offset": (2**22, 0, 2**24, -1), "shift": 23},
        [_spec(1, 3, 4, quant=QuantSpec(8, True, (0.125, 0.125, 0.25, 1.0), (0,) * 4, 2))],
    ),
    "quantize": ({"spec": CODES}, [_spec(1, 3, 4)]),
    "relu": ({}, [_spec(1, 3, 4, quant=CODES)]),
    "reducel2": ({}, [_spec(1, 3, 4)]),
    "requantize": ({"spec": CODES, "multiplier": (3,), "shift": (4,)}, [_spec(1, 3, 4, quant=ACC)]),
    "reshape": ({"shape": (3, 2, 2)}, [_spec(1, 3, 4, quant=CODES)]),
    "rmsnorm": ({"epsilon": 1e-6}, [_spec(1, 3, 4), _spec(4, constant=True)]),
    "roll": ({"shifts": (-1, 2), "axes": (1, 2)}, [_spec(1, 3, 4, quant=CODES)]),
    "shiftgelu": ({"unit": 6}, [_spec(1, 3, 4, quant=BYTES)]),
    "shiftmax": ({"unit": 4}, [_spec(1, 3, 4, quant=CODES)]),
    "sigmoid": ({}, [_spec(1, 3, 4)]),
    "silu": ({}, [_spec(1, 3, 4)]),
    "slice": ({"axis": 1, "start": 0, "stop": 3, "step": 2}, [_spec(1, 3, 4, quant=CODES)]),
    "softmax": ({}, [_spec(1, 3, 4)]),
    "sub": ({}, [_spec(1, 3, 4), _spec(1, 3, 1)]),
    "tablesoftmax": ({"table": tuple(range(64, 0, -4))}, [_spec(1, 3, 4, quant=CODES)]),
    "transpose": ({"order": (0, 2, 1)}, [_spec(1, 3, 4, quant=CODES)]),
}
KINDS = {
    "move",
    "mac",
    "add",
    "mul",
    "div",
    "exp",
    "erf",
    "tanh",
    "sqrt",
    "max",
    "quantize",
    "dequantize",
    "requantize",
    "shift",
    "lookup",
}


def _value(spec, images):
    shape = (images * spec.shape[0], *spec.shape[1:]) if spec.batched else spec.shape
    generator = np.random.default_rng(1)
    if spec.quant is None:
        return generator.normal(size=shape)
    return generator.integers(spec.quant.qmin, spec.quant.qmax + 1, shape).astype(spec.quant.container)


def _example(name):
    attributes, operands = EXAMPLES[name]
    op = catalog.find("hwsim.ops", name)(**attributes)
    return op, tuple(operands), op.infer(tuple(operands))


def test_every_operator_has_an_example():
    assert set(NAMES) == set(EXAMPLES)


@pytest.mark.parametrize("name", NAMES)
def test_house_rules(name):
    op_class, module = catalog.find("hwsim.ops", name), importlib.import_module(f"hwsim.ops.{name}")
    assert op_class.__name__.lower() == name
    assert op_class.__module__ == module.__name__
    assert issubclass(op_class, Op)
    assert dataclasses.is_dataclass(op_class)
    assert op_class.__dataclass_params__.frozen
    assert not hasattr(_example(name)[0], "__dict__"), "slots"
    assert {"infer", "run", "count"} <= set(vars(op_class))
    assert inspect.getdoc(module)
    assert isinstance(op_class.onnx, str)
    assert isinstance(op_class.torch, tuple)
    own = [
        value
        for key, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__ and not key.startswith("_")
    ]
    assert own == [op_class], "one public class per file"


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_run_gives_what_infer_announced(name, images):
    op, operands, out = _example(name)
    value = op.run(tuple(_value(spec, images) for spec in operands), operands, out)
    assert value.shape == (images * out.shape[0], *out.shape[1:])
    if out.quant is None:
        assert value.dtype == np.float64
    elif isinstance(op.gemm(operands, out), Gemm):
        assert value.dtype == np.int32, "accumulators live in int32"
    else:
        assert value.dtype == out.quant.container
    if out.quant is not None:
        assert out.quant.qmin <= value.min() <= value.max() <= out.quant.qmax


@pytest.mark.parametrize("name", NAMES)
def test_operands_are_not_written(name):
    op, operands, out = _example(name)
    values = tuple(_value(spec, 2) for spec in operands)
    for value in values:
        value.setflags(write=False)
    op.run(values, operands, out)


@pytest.mark.parametrize("name", NAMES)
def test_counts(name):
    op, operands, out = _example(name)
    counted = op.count(operands, out)
    assert all(isinstance(amount, int) and amount >= 0 for amount in counted.values())
    assert bool(+counted) == (name not in VIEWS), "only a view does nothing"
    assert all(isinstance(action, Action) and action.kind in KINDS for action in counted)
    view = op.gemm(operands, out)
    macs = {action: amount for action, amount in counted.items() if action.kind == "mac"}
    if view is None:
        assert not macs
    else:
        assert macs == {Action("mac", operands[0].bits, operands[1].bits): view.macs}
        assert view.batch * view.m * view.n == out.elements


@pytest.mark.parametrize("name", NAMES)
def test_what_has_a_gemm_view_has_a_product(name):
    """Operands of the multiplication are (G, M, K) and (G or 1, K, N), or both with groups along two axes, and G times M
    times N are all accumulators."""
    op, operands, out = _example(name)
    values = tuple(_value(spec, 2) for spec in operands)
    view, shapes = op.gemm(operands, out), []

    def multiply(a, b):
        a, b = together(a), together(b)
        shapes.extend((a.shape, b.shape))
        return np.matmul(a.astype(np.int64), b)

    if view is None or out.quant is None:
        with pytest.raises(TypeError, match=f"^{type(op).__name__} has no product$"):
            op.product(values, operands, multiply)
        return
    np.testing.assert_array_equal(op.product(values, operands, multiply), op.run(values, operands, out))
    (groups, rows, depth), right = shapes
    assert (depth, view.n) == right[1:] == (view.k, right[2])
    assert right[0] in (1, groups)
    assert groups * rows == 2 * view.batch * view.m


@pytest.mark.parametrize("method", ["infer", "run", "count"])
def test_an_operator_without_a_rule_is_an_error(method):
    class Nothing(Op):
        """Answers no question."""

    arguments = {"infer": ((),), "run": ((), (), None), "count": ((), None)}[method]
    with pytest.raises(TypeError, match=f"^Nothing does not {method}$"):
        getattr(Nothing(), method)(*arguments)


def test_gemm_view_as_numbers():
    assert Gemm(2, 3, 4, 5, 8, 8, b_static=True).macs == 120
