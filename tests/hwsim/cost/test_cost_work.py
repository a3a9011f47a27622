from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from hwsim.cost.work import PARAMETERS, full_precision, with_bits, work
from hwsim.errors import HwsimError
from hwsim.graph import Graph, Node, build
from hwsim.op import Action, Gemm, Op, Specs
from hwsim.ops.conv2d import Conv2d
from hwsim.ops.linear import Linear
from hwsim.ops.pad import Pad
from hwsim.ops.quantize import Quantize
from hwsim.spec import QuantSpec, TensorSpec


def test_products_by_hand(block: Graph) -> None:
    views = {row.node: row.gemm for row in work(block) if row.gemm}
    assert views == {
        "blocks.0.attn.qkv": Gemm(1, 5, 6, 6, 4, 4, True),
        "blocks.0.attn.qk": Gemm(2, 5, 3, 5, 4, 4, False),
        "blocks.0.attn.av": Gemm(2, 5, 5, 3, 4, 4, False),
        "blocks.0.attn.proj": Gemm(1, 5, 6, 6, 4, 4, True),
        "head": Gemm(1, 5, 6, 7, 8, 8, True),
    }


def test_one_row_per_node_and_the_parameters(block: Graph) -> None:
    rows = work(block)
    assert [row.node for row in rows] == [*(node.name for node in block.nodes), PARAMETERS]
    assert {row.node: row.weights for row in rows if row.weights} == {
        "blocks.0.attn.qkv": 36,
        "blocks.0.attn.proj": 36,
        "head": 42,
    }
    assert {row.node: row.parameters for row in rows if row.parameters} == {
        "blocks.0.norm1": 12,
        "blocks.0.attn.proj.bias": 6,
    }


def test_parameters_as_the_model_says(block: Graph) -> None:
    nodes, specs = block.nodes, block.specs
    constants = {name: (array, specs[name]) for name, array in block.constants.items()}
    told = build("told", {"x": specs["x"]}, constants, nodes, block.outputs, {"parameters": 1000})
    assert work(told)[-1].parameters == 1000 - 36 - 36 - 42 - 18


def test_actions_by_hand(block: Graph) -> None:
    actions = {row.node: row.actions for row in work(block)}
    assert actions["blocks.0.attn.qkv"] == Counter(
        {Action("mac", 4, 4): 180, Action("add", 32, 32): 30}
    )  # column sums are known beforehand
    assert actions["blocks.0.attn.qk"] == Counter(
        {Action("mac", 4, 4): 150, Action("add", 4, 32): 2 * 15 + 2 * 15, Action("add", 32, 32): 100}
    )
    assert actions["blocks.0.attn.qkv.input"] == Counter({Action("quantize", 32, 4): 30})
    assert actions["blocks.0.attn.qkv.dequantize"] == Counter({Action("dequantize", 32, 32): 30})


def test_conversions_name_their_product(block: Graph) -> None:
    serves = {row.node: row.serves for row in work(block)}
    assert serves["blocks.0.attn.qk.b"] == serves["blocks.0.attn.qk.dequantize"] == "blocks.0.attn.qk"
    assert serves["blocks.0.norm1"] == ""


def test_a_shared_weight_is_stored_once() -> None:
    weight = {"w": (np.zeros((3, 3), np.float32), TensorSpec((3, 3), batched=False))}
    nodes = [Node("a", Linear(), ("x", "w")), Node("b", Linear(), ("a", "w"))]
    rows = work(build("tied", {"x": TensorSpec((1, 3))}, weight, nodes, ["b"]))
    assert [row.weights for row in rows] == [9, 0, 0]


@pytest.mark.parametrize("bits", [(2, 2, 8), (8, 3, 8), (4, 4, 4)])
def test_with_bits_equals_the_graph_at_those_bits(
    block: Graph, block_at: Callable[..., Graph], bits: tuple[int, int, int]
) -> None:
    weights, activations, ends = bits
    priced = with_bits(work(block), weights, activations, ends)
    if weights == activations:
        assert priced == work(block_at(weights, ends))
    assert priced == with_bits(priced, weights, activations, ends)
    assert with_bits(priced, 4, 4) == work(block)


def test_float_rows_have_no_conversions(block: Graph) -> None:
    rows = with_bits(work(block), 32, 32)
    assert full_precision(rows)
    assert not full_precision(work(block))
    assert not [row for row in rows if row.op in ("quantize", "dequantize")]
    assert {action for row in rows if row.gemm for action in row.actions} == {Action("mac", 32, 32)}


def test_float_weights_keep_quantized_inputs(block: Graph) -> None:
    rows = {row.node: row for row in with_bits(work(block), 32, 4)}
    assert "blocks.0.attn.qkv.input" in rows
    assert "blocks.0.attn.qkv.dequantize" not in rows
    assert "blocks.0.attn.qk.dequantize" in rows  # its operands are both activations


@pytest.mark.parametrize("bits", [0, 9, 16, True, 4.0])
def test_bits_out_of_range(block: Graph, bits: Any) -> None:
    with pytest.raises(HwsimError) as error:
        with_bits(work(block), bits, 4)
    assert str(error.value) == f"with_bits: bits must be 1..8 or 32, got {bits!r}; 32 is float"


def test_floats_cannot_be_quantized_by_pricing(block: Graph) -> None:
    with pytest.raises(HwsimError) as error:
        with_bits(with_bits(work(block), 32, 32), 4, 4)
    assert str(error.value) == (
        "with_bits: rows must come from a graph whose operands are quantized, got floats at blocks.0.attn.qkv; "
        "trace the model at lower bits"
    )


def test_an_operator_without_a_rule_is_an_error() -> None:
    @dataclass(frozen=True, slots=True)
    class Cosine(Op):
        def infer(self, inputs: Specs) -> TensorSpec:
            return inputs[0]

    graph = build("odd", {"x": TensorSpec((1, 3))}, {}, [Node("neck.cosine", Cosine(), ("x",))], ["neck.cosine"])
    with pytest.raises(HwsimError) as error:
        work(graph)
    assert str(error.value) == (
        "neck.cosine: an operator needs a rule to be counted, got cosine; give its class a count method"
    )


@pytest.mark.parametrize("method", ["qvit", "lsq"])
def test_with_bits_equals_a_model_traced_at_those_bits(method: str) -> None:
    torch = pytest.importorskip("torch")
    from qmodels import models, tracing
    from workloads.bits import Bits

    def rows(weights: int, activations: int, ends: int) -> tuple[Any, ...]:
        model = models.quantize(models.create("digits_deit", depth=1), Bits(weights, activations, ends), method).eval()
        return work(tracing.trace(model, torch.zeros(1, 1, 32, 32), "digits"))

    traced = rows(4, 4, 8)
    wanted = [(2, 2, 8), (8, 3, 6)] if method == "qvit" else [(3, 5, 4), (32, 4, 8), (4, 32, 8), (32, 32, 8)]
    for bits in wanted:
        assert with_bits(traced, *bits) == rows(*bits), bits


def test_a_repeated_block_is_the_model(traced: Callable[..., Any], from_one_block: Callable[[str], Any]) -> None:
    assert from_one_block("DeiT-T") == traced("DeiT-T").rows  # so the other DeiTs of these tests can do with one block


def test_conversion_and_padding_serve_the_product_behind_them() -> None:
    grid, shape = QuantSpec(4, True, (1.0,)), (3, 2, 3, 3)
    nodes = [
        Node("conv.input", Quantize(grid), ("x",)),
        Node("pad", Pad((0, 0, 0, 0), (0, 0, 1, 1)), ("conv.input",)),
        Node("conv", Conv2d(), ("pad", "weight")),
    ]
    weight = np.ones(shape, np.int8), TensorSpec(shape, grid, batched=False)
    graph = build("padded", {"x": TensorSpec((1, 2, 4, 4))}, {"weight": weight}, nodes, ["conv"])
    assert [row.serves for row in work(graph)] == ["conv", "conv", "", ""]
    conversion, move, *_ = with_bits(work(graph), 2, 2)
    assert conversion.actions == {Action("quantize", 32, 2): 32}
    assert move.actions == {Action("move", 2, 2): 32}
    move, *_ = with_bits(work(graph), 32, 32)
    assert move.actions == {Action("move", 32, 32): 32}
