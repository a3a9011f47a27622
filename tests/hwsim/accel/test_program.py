"""Stages and what crosses between them, counted by hand for DeiT-T; other widths against tracing anew."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest

from hwsim.accel.flow import OUTSIDE, flow
from hwsim.accel.program import Program, Tensor, program
from hwsim.errors import HwsimError, UnknownName
from hwsim.graph import Graph, Node, build
from hwsim.ops.add import Add
from hwsim.spec import TensorSpec

TINY, SWIN = "deit_tiny_patch16_224", "swin_tiny_patch4_window7_224"
TOKENS, WIDTH, HEADS = 197, 192, 3
RESIDUAL, MAP = TOKENS * WIDTH, HEADS * TOKENS**2


def test_what_crosses_in_a_block_of_deit(graph_at: Callable[..., Graph]) -> None:
    found = flow(graph_at(TINY, 4, 4))
    assert len(found.products) == 12 * 6 + 2
    at = {name: stage for stage, name in enumerate(found.products)}
    born: dict[int, list[int]] = {}
    for value in found.values.values():
        born.setdefault(value.born, []).append(value.elements)
    block = "blocks.3."
    assert sorted(born[at[f"{block}attn.qkv"]]) == [RESIDUAL] * 3, "q, k and v as codes"
    assert born[at[f"{block}attn.qk"]] == [MAP], "the softmax's codes alone"
    assert born[at[f"{block}attn.av"]] == [RESIDUAL]
    assert born[at[f"{block}attn.proj"]] == [RESIDUAL] * 2, "the residual stream, and codes for fc1"
    assert born[at[f"{block}mlp.fc1"]] == [4 * RESIDUAL]
    assert born[at[f"{block}mlp.fc2"]] == [RESIDUAL] * 2
    assert born[OUTSIDE] == [3 * 224 * 224]
    assert born[at["head"]] == [1000]


def test_a_residual_lives_until_it_is_added(graph_at: Callable[..., Graph]) -> None:
    found = flow(graph_at(TINY))
    at = {name: stage for stage, name in enumerate(found.products)}
    value = found.values["blocks.4.add"]
    assert (value.born, value.last) == (at["blocks.4.attn.proj"], at["blocks.4.mlp.fc2"])
    assert value.feeds == ()


def test_codes_have_the_width_of_the_product_that_they_feed(program_of: Callable[[str], Program]) -> None:
    stages = program_of(TINY).at(2, 4).stages(16, merged=False)
    by_name = {stage.nodes[0]: stage for stage in stages}
    fc2 = by_name["blocks.0.mlp.fc2"]
    assert (fc2.a.elements, fc2.a.bits, fc2.b.bits) == (4 * RESIDUAL, 4, 2)
    assert [(tensor.elements, tensor.bits) for tensor in fc2.reads] == [(RESIDUAL, 16)]
    qk = by_name["blocks.0.attn.qk"]
    assert (qk.a.bits, qk.b.bits) == (4, 4), "both operands of attention are activations"
    assert by_name["patch_embed.proj"].a.bits == 8
    assert by_name["head"].writes[0].stays == math.inf, "an output leaves the chip"


@pytest.mark.parametrize("name", [TINY, pytest.param(SWIN, marks=pytest.mark.slow)])
@pytest.mark.parametrize("widths", [(4, 4, 8), (3, 8, 8), (32, 32, 32)])
def test_other_widths_equal_tracing_anew(
    name: str, widths: tuple[int, int, int], graph_at: Callable[..., Graph], program_of: Callable[[str], Program]
) -> None:
    ours, anew = program_of(name).at(*widths), program(graph_at(name, *widths))
    assert [stage.gemm for stage in ours.stages(16, False)] == [stage.gemm for stage in anew.stages(16, False)]
    assert ours.weight_bytes == anew.weight_bytes
    for one, other in zip(ours.stages(16, False), anew.stages(16, False), strict=True):
        assert (one.a.bits, one.b.bits) == (other.a.bits, other.b.bits)
        assert (one.a.elements, one.b.elements) == (other.a.elements, other.b.elements), "of a slice, what is taken"
        if one.nodes != ("blocks.11.mlp.fc2",):  # of floats the head's slice keeps all tokens
            assert _bits(one.writes) == _bits(other.writes), "q, k and v are one value where nothing quantizes them"
        assert one.by_rows == other.by_rows
        if 32 not in widths:
            assert one == other


def _bits(tensors: tuple[Tensor, ...]) -> int:
    return sum(tensor.elements * tensor.bits for tensor in tensors)


def test_merged_stages_are_the_same_work(program_of: Callable[[str], Program]) -> None:
    whole = program_of(SWIN)
    single, merged = whole.stages(16, False), whole.stages(16)
    assert len(merged) < len(single) / 1.3
    assert sorted(name for stage in merged for name in stage.nodes) == sorted(whole.products)
    for stage in merged:
        for other in single:
            if other.nodes[0] in stage.nodes:
                assert dataclasses.replace(other, nodes=stage.nodes) == stage


def test_memory_that_values_need_to_stay(program_of: Callable[[str], Program]) -> None:
    """By brute force: with as much memory as a value needs, it fits beside all that need less, at every stage."""
    whole = program_of(TINY).at(4, 4)
    values, stages = whole.flow.values, whole.stages(16, False)
    needs: dict[str, float] = {}
    for stage_at, stage in enumerate(stages):
        names = [name for name, value in values.items() if value.born == stage_at]
        needs |= {name: tensor.stays for name, tensor in zip(names, stage.writes, strict=True)}
    sizes = {name: values[name].elements * (4 if values[name].feeds else 16) / 8 for name in needs}
    sizes["head.input"] = 192.0
    for capacity in (1e3, 2e4, 6e4, 1.2e5, 2e5, 1e6):
        kept = [name for name, need in needs.items() if need <= capacity]
        for stage_at in range(len(stages)):
            alive = sum(sizes[n] for n in kept if values[n].born <= stage_at <= values[n].last)
            assert alive <= capacity
    assert sorted(needs.values())[-2] < 1e6, "a megabyte holds all of DeiT-T but its output"


def test_mixed_widths(program_of: Callable[[str], Program]) -> None:
    whole = program_of(TINY)
    mixed = whole.mixed({"blocks.1.mlp.fc1": (4, 2), "blocks.1.attn.qk": (3, 3)})
    assert mixed.widths["blocks.1.mlp.fc1"] == (4, 2)
    assert mixed.widths["blocks.2.mlp.fc1"] == (8, 8)
    by_name = {stage.nodes[0]: stage for stage in mixed.stages(16, False)}
    assert by_name["blocks.1.attn.qkv"].writes[0].bits == 3, "qkv's epilogue makes codes for QK^T"
    assert whole.weight_bytes - mixed.weight_bytes == WIDTH * 4 * WIDTH * 6 / 8


def test_mixed_widths_that_cannot_be(program_of: Callable[[str], Program]) -> None:
    whole = program_of(TINY)
    with pytest.raises(UnknownName, match=r"^product: unknown name, got 'blocks\.1\.mlp\.fc3'; known, nearest first: "):
        whole.mixed({"blocks.1.mlp.fc3": (4, 4)})
    with pytest.raises(HwsimError) as caught:
        whole.mixed({"blocks.1.mlp.fc1": (4, 9)})
    assert str(caught.value) == "blocks.1.mlp.fc1: bits must be 1..8 or 32, got 9; 32 is float"


def test_a_graph_without_products() -> None:
    floats = TensorSpec((1, 3), None)
    constants = {"c": (np.zeros(3, np.float32), TensorSpec((3,), batched=False))}
    graph = build("sum", {"x": floats}, constants, [Node("y", Add(), ("x", "c"))], ["y"])
    with pytest.raises(HwsimError) as caught:
        flow(graph)
    assert str(caught.value) == (
        "sum: a graph must have a product (GEMM) to be run by a PE array, got none; trace a model"
    )
