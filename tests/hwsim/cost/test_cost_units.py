"""Extra units are read from the graph: which grids need which, how often, and that the cost model counts what it says."""

import dataclasses
from collections import Counter

import numpy as np
import pytest

from hwsim.cost.units import AS_MAC, CONDITIONAL, COUNTED, SHIFTER, UNITS, extra_units, requantizes_by_shift
from hwsim.cost.work import work
from hwsim.graph import Node, build
from hwsim.grids.log2 import log2
from hwsim.grids.logsqrt2 import logsqrt2
from hwsim.grids.poweroftwo import poweroftwo
from hwsim.grids.sulq import sulq
from hwsim.grids.twinuniform import twinuniform
from hwsim.op import Action
from hwsim.ops.add import Add
from hwsim.ops.dequantize import Dequantize
from hwsim.ops.layernorm import LayerNorm
from hwsim.ops.linear import Linear
from hwsim.ops.matmul import MatMul
from hwsim.ops.quantize import Quantize
from hwsim.spec import QuantSpec, ShiftSpec, TensorSpec

HEADS, M, K, N = 2, 5, 7, 3
MACS, OUTPUTS, LEFT, RIGHT = HEADS * M * K * N, HEADS * M * N, HEADS * M * K, HEADS * K * N
SIGNED, ZERO = QuantSpec(4, True, (0.5,)), QuantSpec(4, False, (0.5,), (3,))
CORRECTION = Action("add", 32, 32)


def product(a, b):
    """Both operands made at run time, one product per head."""
    nodes = [
        Node("av.a", Quantize(a), ("x",)),
        Node("av.b", Quantize(b), ("y",)),
        Node("av", MatMul(), ("av.a", "av.b")),
    ]
    return build("g", {"x": TensorSpec((1, HEADS, M, K)), "y": TensorSpec((1, HEADS, K, N))}, {}, nodes, ["av"])


def layer(a, weight, codes=None):
    """The right operand is a constant."""
    spec = TensorSpec((N, K), weight, batched=False)
    values = np.zeros((N, K), weight.container) if codes is None else codes
    nodes = [Node("fc1.input", Quantize(a), ("x",)), Node("fc1", Linear(), ("fc1.input", "w"))]
    return build("g", {"x": TensorSpec((1, M, K))}, {"w": (values, spec)}, nodes, ["fc1"])


def found(graph):
    return {unit.name: (unit.nodes, dict(unit.actions)) for unit in extra_units(graph)}


def encoder(bits, count=LEFT):
    return (1, {Action("quantize", 32, bits): count})


def test_uniform_grids_need_none():
    assert extra_units(product(SIGNED, SIGNED)) == ()
    per_head = dataclasses.replace(SIGNED, scale=(0.5, 0.25), zero_point=(0, 0), axis=1)
    assert extra_units(product(per_head, SIGNED)) == ()
    assert extra_units(layer(ZERO, SIGNED)) == ()  # its zero point is in the bias


def test_powers_of_two_are_shifts():
    assert found(product(log2(4), SIGNED)) == {
        "shifter": (1, {Action("shift", 4, 32): MACS}),
        "encoder": encoder(4),
    }
    assert found(layer(SIGNED, poweroftwo(4)))["shifter"] == (1, {Action("shift", 4, 32): M * K * N})


def test_roots_of_two_have_a_bank_of_their_own():
    units = found(product(logsqrt2(3), QuantSpec(8, True, (1.0,))))
    assert units == {
        "shifter": (1, {Action("shift", 8, 32): MACS}),
        "mantissa banks": (1, {Action("mul", 32, 32): OUTPUTS, CORRECTION: OUTPUTS}),
        "encoder": encoder(3),
    }
    charged = {unit.name: unit.charged for unit in extra_units(product(logsqrt2(3), SIGNED))}
    assert charged == {"shifter": AS_MAC, "mantissa banks": COUNTED, "encoder": COUNTED}


def test_sulq_takes_a_constant_off_the_sum():
    assert found(product(sulq(3, eta=2), SIGNED))["constant"] == (
        1,
        {Action("add", 4, 32): RIGHT, CORRECTION: OUTPUTS},
    )
    assert "constant" not in found(layer(sulq(3, eta=2), SIGNED))  # known beforehand
    assert found(product(SIGNED, sulq(3, eta=2)))["constant"] == (1, {Action("add", 4, 32): LEFT, CORRECTION: OUTPUTS})


@pytest.mark.parametrize("split", ["magnitude", "sign"])
def test_twin_grids_shift_or_do_not(split):
    assert found(product(twinuniform(4, m=3, split=split), SIGNED)) == {
        "conditional shifter": (1, {Action("shift", 4, 32): MACS}),
        "encoder": encoder(4),
    }
    assert CONDITIONAL not in found(product(twinuniform(4, m=0, split=split), SIGNED))
    assert SHIFTER in found(product(twinuniform(2, m=3), SIGNED))  # its one significand is 1


def test_zero_points_that_are_not_constant_are_sums():
    rows, columns = ({Action("add", 4, 32): size, CORRECTION: OUTPUTS} for size in (LEFT, RIGHT))
    assert found(product(ZERO, ZERO)) == {"row sums": (1, rows), "column sums": (1, columns)}
    assert found(layer(SIGNED, ZERO, np.full((N, K), 3, np.uint8))) == {
        "row sums": (1, {Action("add", 4, 32): M * K, CORRECTION: M * N})
    }


@pytest.mark.parametrize(
    ("scales", "action"),
    [((0.3, 0.6, 1.2, 0.3), Action("shift", 4, 32)), ((0.3, 0.6, 0.9, 0.3), Action("mul", 4, 32)), ((0.3,) * 4, None)],
)
def test_norms_that_read_codes_per_channel(scales, action):
    grid = QuantSpec(4, False, scales, (3,) * 4, 2)
    nodes = [
        Node("norm1.input", Quantize(grid), ("x",)),
        Node("norm1.input.dequantize", Dequantize(), ("norm1.input",)),
        Node("norm1", LayerNorm(), ("norm1.input.dequantize", "w", "b")),
    ]
    constants = {name: (np.zeros(4), TensorSpec((4,), batched=False)) for name in "wb"}
    graph = build("g", {"x": TensorSpec((1, M, 4))}, constants, nodes, ["norm1"])
    assert found(graph) == ({"channel scales": (1, {action: M * 4})} if action else {})


def test_a_product_per_group_of_channels_is_added_up():
    spec = TensorSpec((N, K), SIGNED, batched=False)
    constants = {name: (np.zeros((N, K), np.int8), spec) for name in ("w", "w_1", "w_2")}
    constants["b"] = np.zeros(N), TensorSpec((N,), batched=False)
    nodes, total = [], ""
    for i in range(3):
        name = f"qkv_{i}" if i else "qkv"
        nodes += [Node(f"qkv.input_quantizer.{i}", Quantize(SIGNED), (f"x{i}",))]
        nodes += [Node(name, Linear(), (f"qkv.input_quantizer.{i}", f"w_{i}" if i else "w"))]
        nodes += [Node(f"{name}.dequantize", Dequantize(), (name,))]
        added = (f"{name}.dequantize", "b") if not i else (total, f"{name}.dequantize")
        total = f"qkv.add_{i}" if i else "qkv.bias"
        nodes += [Node(total, Add(), added)]
    nodes += [Node("residual", Add(), (total, "x3"))]
    inputs = {f"x{i}": TensorSpec((1, M, K)) for i in range(3)} | {"x3": TensorSpec((1, M, N))}
    graph = build("g", inputs, constants, nodes, ["residual"])
    outputs = 2 * M * N
    assert found(graph) == {"partial sums": (2, {Action("dequantize", 32, 32): outputs, CORRECTION: outputs})}
    (unit,) = extra_units(graph)
    assert unit.charged == COUNTED
    assert not unit.actions - sum((row.actions for row in work(graph)), Counter())


def test_nodes_add_up_and_stand_in_order():
    a, b = log2(4), ZERO
    nodes = [
        Node("0.av.a", Quantize(a), ("x",)),
        Node("0.av.b", Quantize(b), ("y",)),
        Node("0.av", MatMul(), ("0.av.a", "0.av.b")),
        Node("1.av", MatMul(), ("0.av.a", "0.av.b")),
    ]
    inputs = {"x": TensorSpec((1, HEADS, M, K)), "y": TensorSpec((1, HEADS, K, N))}
    units = extra_units(build("g", inputs, {}, nodes, ["0.av", "1.av"]))
    assert [(unit.name, unit.nodes, unit.times) for unit in units] == [
        ("shifter", 2, 2 * MACS),
        ("encoder", 1, LEFT),
        ("row sums", 2, 2 * (LEFT + OUTPUTS)),
    ]
    assert [UNITS.index(unit.name) for unit in units] == sorted(UNITS.index(unit.name) for unit in units)


GRIDS = (SIGNED, ZERO, log2(3), logsqrt2(3), sulq(3, eta=1), twinuniform(3, m=2), poweroftwo(3))


@pytest.mark.parametrize("b", GRIDS)
@pytest.mark.parametrize("a", GRIDS)
def test_what_is_called_counted_is_among_the_actions_of_the_cost_model(a, b):
    graph = product(a, b)
    all_actions = sum((row.actions for row in work(graph)), Counter())
    counted = sum((unit.actions for unit in extra_units(graph) if unit.charged == COUNTED), Counter())
    assert not counted - all_actions
    rest = all_actions - counted
    plain = (Action("mac", a.bits, b.bits), *(Action("quantize", 32, g.bits) for g in (a, b) if g in (SIGNED, ZERO)))
    assert set(rest) == set(plain)  # nothing that the cost model charges for zero points and constants is left out
    shifting = [unit for unit in extra_units(graph) if unit.charged == AS_MAC]
    assert bool(shifting) == any(isinstance(grid, ShiftSpec) for grid in (a, b))


def test_a_power_of_two_is_a_shift_of_the_accumulator():
    power, other = QuantSpec(4, True, (0.125,)), QuantSpec(4, True, (0.1,))
    assert requantizes_by_shift(product(power, power))
    assert requantizes_by_shift(product(log2(4), power))
    assert not requantizes_by_shift(product(power, other))
    mixed = QuantSpec(4, True, (0.5, 0.3, 1.0), (0,) * 3, 0)
    assert not requantizes_by_shift(layer(power, mixed))
    assert not requantizes_by_shift(
        build("g", {"x": TensorSpec((1, 2))}, {}, [Node("q", Quantize(power), ("x",))], ["q"])
    )
