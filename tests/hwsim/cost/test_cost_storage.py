"""What is stored, by hand, and against the constants of real graphs."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from hwsim.cost.extras import Extra, extras_of
from hwsim.cost.storage import EXTRAS, PARAMETERS, Stored, extra_bytes, parameter_bytes, storage
from hwsim.cost.table import tally
from hwsim.cost.work import PARAMETERS as PARAMETER_ROW
from hwsim.cost.work import Work, published_parameters, with_bits, work
from hwsim.graph import Graph
from hwsim.ops.lookup import Lookup
from hwsim.ops.quantize import Quantize
from hwsim.ops.requantize import Requantize
from hwsim.spec import BipolarSpec, QuantSpec


def test_by_hand(block: Graph) -> None:
    """Scales: one for each of 6 quantized activations at 4 bits and the head's, and of 3 weights; av.a has zero point 0."""
    assert storage(work(block)) == (
        Stored("weights", 4, 36 + 36),
        Stored("weights", 8, 42),
        Stored("biases", 32, 6),
        Stored("norms", 32, 12),
        Stored("scale", 32, 7 + 3),
        Stored("zero_point", 4, 5),
        Stored("zero_point", 8, 1),
    )
    assert parameter_bytes(work(block)) == (72 * 4 + 42 * 8 + 18 * 32) / 8
    assert extra_bytes(work(block)) == (10 * 32 + 5 * 4 + 8) / 8


def test_floats_need_no_scales(block: Graph) -> None:
    floats = with_bits(work(block), 32, 32)
    assert extra_bytes(floats) == 0
    assert {stored.bits for stored in storage(floats)} == {32}
    weights_alone = storage(with_bits(work(block), 4, 32))
    assert [stored for stored in weights_alone if stored.extra] == [
        Stored("scale", 32, 2 + 2),  # of both weights, of the head's and of its input
        Stored("zero_point", 8, 1),
    ]


@pytest.mark.parametrize("label", ["DeiT-T", "Swin-T"])
def test_sizes_without_extras_are_the_published_rule(label: str, traced: Callable[..., Any]) -> None:
    for bits in (32, 4, 2):
        rows = with_bits(traced(label).rows, bits, bits)
        assert parameter_bytes(rows) == tally(rows, "size_bidet").total


def test_deit_small_has_a_scale_per_channel_and_head(traced: Callable[..., Any]) -> None:
    """Per block: a scale for each of qkv, proj, fc1, fc2's outputs; one per input of those, one per head of q, k, v, maps."""
    stored = {(s.kind, s.bits): s.count for s in storage(traced("DeiT-S").rows)}
    width, heads, classes, blocks = 384, 6, 1000, 12
    channels = blocks * (3 + 1 + 4 + 1) * width + width + classes
    assert stored["scale", 32] == channels + blocks * (4 + 4 * heads) + 2
    assert stored["zero_point", 4] == blocks * (4 + 3 * heads)  # maps are unsigned, from 0
    assert stored["zero_point", 8] == 2
    assert stored["weights", 8] == width * 16 * 16 * 3 + width * classes
    assert stored["norms", 32] == 2 * (25 * width + 24 * 64)
    parameters = sum(count for (kind, _), count in stored.items() if kind in PARAMETERS)
    assert parameters == published_parameters(traced("DeiT-S").rows) + 2 * 24 * 64


def test_integer_operators_store_their_constants() -> None:
    grid = QuantSpec(8, True, (0.5,), (3,))
    requantize = Requantize(grid, (1 << 30, 5), (40, 33), axis=1, offset=(-7, 9))
    assert extras_of(requantize) == Counter(
        {
            Extra("zero_point", 8): 1,
            Extra("multiplier", 31): 2,
            Extra("shift", 6): 2,
            Extra("offset", 5): 2,
        }
    )
    table = Lookup(tuple(range(-8, 8)), QuantSpec(4, True, (1.0,)))
    assert extras_of(table) == Counter({Extra("table", 4): 16})


def test_gains_and_offsets_stand_for_parameters() -> None:
    """A LayerNorm's 4 gains and offsets and 5 biases are 13 of the 20 parameters; the rest are tokens."""
    norm = Work("norm", "ilayernorm", "elementwise", "layernorm", extras=Counter({Extra("gain", 30): 4}))
    bias = Work("fc.r", "requantize", "elementwise", "requantize", extras=Counter({Extra("offset", 36): 9}))
    rest = Work(PARAMETER_ROW, "constant", "elementwise", "parameters", parameters=20)
    assert storage((norm, bias, rest)) == (Stored("others", 32, 7), Stored("offset", 36, 9), Stored("gain", 30, 4))


def test_grids_store_scales_where_floats_are_made_into_codes() -> None:
    assert extras_of(Quantize(QuantSpec(4, False, (1.0, 2.0), (0, 1), axis=1))) == Counter(
        {Extra("scale", 32): 2, Extra("zero_point", 4): 2}
    )
    assert extras_of(Quantize(BipolarSpec((1.0,)))) == Counter({Extra("scale", 32): 1})


def test_every_extra_has_a_place(traced: Callable[..., Any]) -> None:
    kinds = {stored.kind for stored in storage(traced("DeiT-S").rows)}
    assert kinds <= {*PARAMETERS, *EXTRAS}
    assert [s.kind in EXTRAS for s in storage(traced("DeiT-S").rows)] == [
        s.extra for s in storage(traced("DeiT-S").rows)
    ]


def test_a_skeleton_has_the_scales_and_zero_points_of_the_model() -> None:
    """Made-up ones, as many as the method prescribes: the rows are those of the trained model."""
    pytest.importorskip("torch")
    import workloads
    from qmodels import evidence

    workload = workloads.find("digits_w4a4")
    assert work(evidence.skeleton_of(workload)) == work(evidence.graph_of(workload))
