"""Every fusion on graphs that are made for it, and on those from which it must keep off: which nodes are one step, the same
bits as the nodes one by one on every tier, and nothing that keeps the graph alive."""

import gc
import weakref

import numpy as np
import pytest
from drafts import (
    CODES,
    STREAM,
    UNSIGNED,
    Draft,
    integer_norm,
    integer_norm_of_odd_width,
    integer_norm_of_powers,
    integer_norm_of_tokens,
    integer_norm_transposed,
    linear_table,
    linear_table_in_blocks,
    linear_table_in_two_roundings,
    linear_table_of_bytes,
    linear_table_of_two_readers,
    linear_table_of_words,
)

from hwsim import catalog
from hwsim.ops.add import Add
from hwsim.ops.conv2d import Conv2d
from hwsim.ops.dequantize import Dequantize
from hwsim.ops.gelu import Gelu
from hwsim.ops.layernorm import LayerNorm
from hwsim.ops.matmul import MatMul
from hwsim.ops.mul import Mul
from hwsim.ops.quantize import Quantize
from hwsim.ops.reshape import Reshape
from hwsim.ops.softmax import Softmax
from hwsim.ops.tablesoftmax import TableSoftmax
from hwsim.ops.transpose import Transpose
from hwsim.simulator import simulate
from hwsim.spec import QuantSpec, TensorSpec


def product():
    draft = Draft((1, 7, 24))
    draft.linear()
    return draft.done(), ["acc"]


def linear_requantize(**how):
    draft = Draft((1, 7, 24))
    draft.linear()
    draft.requantize(**how)
    return draft.done(), ["acc codes"]


def linear_requantize_per_channel():
    return linear_requantize(axis=2, grid=UNSIGNED)


def linear_requantize_along_tokens():
    return linear_requantize(axis=1)[0], ["acc", "codes"]


def linear_requantize_in_two_roundings():
    return linear_requantize(rounding="double_round")[0], ["acc", "codes"]


def linear_of_two_readers():
    draft = Draft((1, 7, 24))
    draft.linear()
    draft.requantize()
    draft.requantize(name="more", grid=UNSIGNED)
    return draft.done("codes", "more"), ["acc", "codes", "more"]


def linear_whose_sums_are_wanted():
    draft = Draft((1, 7, 24))
    draft.linear()
    draft.requantize()
    return draft.done("acc", "codes"), ["acc", "codes"]


def convolution(axis, groups=2):
    draft = Draft((1, 4, 6, 6), QuantSpec(8, False, (0.1,), (9,)))
    weight = draft.constant("w", (6, 4 // groups, 3, 3), QuantSpec(4, True, (0.1,) * 6, (0, 1, 2, -3, 4, -5), 0))
    draft("acc", Conv2d((1, 1), (1, 1), groups), "x", weight)
    draft.requantize(axis=axis)
    return draft.done(), ["acc codes"]


def convolution_per_channel():
    return convolution(1)


def convolution_per_channel_of_one_group():
    return convolution(1, 1)


def convolution_along_rows():
    """Scales of channels lie along another axis: per tensor here."""
    draft = Draft((1, 4, 6, 6))
    draft("acc", Conv2d(), "x", draft.constant("w", (6, 4, 3, 3), QuantSpec(4, True, (0.1,))))
    draft.requantize(axis=2)
    return draft.done(), ["acc", "codes"]


def matmul_per_head():
    draft = Draft((1, 3, 5, 8), y=TensorSpec((1, 3, 8, 6), QuantSpec(4, True, (0.1,) * 3, (0, 1, -2), 1)))
    draft("acc", MatMul(), "x", "y")
    draft.requantize(axis=1)
    return draft.done(), ["acc codes"]


def matmul_of_windows():
    draft = Draft((8, 5, 8), y=TensorSpec((8, 8, 6), CODES))
    draft("acc", MatMul(), "x", "y")
    draft.requantize(axis=2)
    return draft.done(), ["acc codes"]


def addition_requantized():
    """No product at all."""
    draft = Draft((1, 7, 24), STREAM, y=TensorSpec((1, 7, 24), STREAM))
    draft("acc", Add(16), "x", "y")
    draft.requantize()
    return draft.done(), ["acc", "codes"]


def residual(quant=STREAM, columns=32, batched=True, bits=16):
    draft = Draft((1, 7, 24), **({"y": TensorSpec((1, 7, columns), quant)} if batched else {}))
    if not batched:
        draft.constant("y", (1, 7, columns), quant)
    draft.linear(columns=columns)
    draft.requantize(grid=quant)
    draft("sum", Add(bits), "codes", "y")
    return draft.done(), ["acc codes sum"]


def residual_of_bytes():
    return residual(QuantSpec(8, True, (0.1,)), bits=8)[0], ["acc codes", "sum"]


def residual_that_grows():
    return residual(bits=0)[0], ["acc codes", "sum"]


def residual_of_odd_width():
    return residual(columns=24)[0], ["acc codes", "sum"]


def residual_of_constants():
    return residual(batched=False)[0], ["acc codes", "sum"]


def residual_twice_the_same():
    draft = Draft((1, 7, 24))
    draft.linear()
    draft("sum", Add(16), draft.requantize(grid=STREAM), "codes")
    return draft.done(), ["acc codes", "sum"]


def table_softmax():
    draft = Draft((1, 3, 5, 49), QuantSpec(8, True, (0.05,)))
    draft("shares", TableSoftmax.lower(draft.specs["x"], 12), "x")
    draft.requantize("shares", QuantSpec(4, False, (1 / 15,)))
    return draft.done(), ["shares codes"]


def table_softmax_short():
    """Rows that fill no vector take the other way, in one step still."""
    draft = Draft((1, 3, 5), QuantSpec(8, True, (0.05,)))
    draft("shares", TableSoftmax.lower(draft.specs["x"], 12), "x")
    draft.requantize("shares", QuantSpec(4, False, (1 / 15,)))
    return draft.done(), ["shares codes"]


def biased(draft, shape=(32,)):
    draft.linear()
    return draft("biased", Add(), draft("real", Dequantize(), "acc"), draft.constant("b", shape))


def linear_bias():
    draft = Draft((1, 300, 24))
    biased(draft)
    return draft.done(), ["acc real biased"]


def linear_positions():
    """A constant for each token is no bias."""
    draft = Draft((1, 7, 24))
    biased(draft, (1, 7, 32))
    return draft.done(), ["acc", "real", "biased"]


def linear_residual():
    draft = Draft((1, 7, 24), y=TensorSpec((1, 7, 32)))
    draft("sum", Add(), "y", biased(draft))
    return draft.done(), ["acc real biased sum"]


def linear_residual_of_constants():
    draft = Draft((1, 7, 24))
    draft("sum", Add(), biased(draft), draft("y", Reshape((1, 7, 32)), draft.constant("c", (224,))))
    return draft.done(), ["acc real biased", "y", "sum"]


def linear_gelu():
    draft = Draft((1, 7, 24))
    draft("codes", Quantize(UNSIGNED), draft("act", Gelu(), biased(draft)))
    return draft.done(), ["acc real biased act codes"]


def linear_gelu_of_channels():
    draft = Draft((1, 7, 24))
    draft("act", Gelu(), biased(draft))
    draft("codes", Quantize(QuantSpec(4, True, (0.1, 0.2) * 16, (0,) * 32, 2)), "act")
    return draft.done(), ["acc real biased", "act", "codes"]


def norm(order=None, grid=CODES, shape=(1, 7, 24)):
    draft = Draft(shape, None)
    last = draft("norm", LayerNorm(), "x", draft.constant("w", shape[-1:]), draft.constant("b", shape[-1:]))
    draft("codes", Quantize(grid), last if order is None else draft("moved", Transpose(order), last))
    return draft.done(), ["norm codes" if order is None else "norm moved codes"]


def norm_of_heads():
    return norm((0, 1, 3, 2), QuantSpec(4, True, (0.1, 0.2, 0.3), (0, 1, 2), 1), (1, 3, 7, 8))


def norm_of_channels():
    return norm(grid=QuantSpec(4, True, (0.1,) * 24, (0,) * 24, 2))[0], ["norm", "codes"]


def scores(head=None):
    draft = Draft((1, 3, 5, 8), y=TensorSpec((1, 3, 8, 6), QuantSpec(4, True, (0.1, 0.2, 0.3), (0, 1, -2), 1)))
    draft("real", Dequantize(), draft("acc", MatMul(), "x", "y"))
    draft("scaled", Mul(), "real", draft.constant("factor", ()))
    draft("shifted", Add(), "scaled", draft.constant("places", (1, 3, 5, 6)))
    grid = (
        QuantSpec(4, False, (1 / 15,))
        if head is None
        else QuantSpec(4, False, (1 / 15, 1 / 9, 1 / 20), (0, 1, 0), head)
    )
    draft("codes", Quantize(grid), draft("shares", Softmax(), "shifted"))
    return draft.done(), ["acc real scaled shifted shares codes"]


def scores_of_heads():
    return scores(1)


def scores_of_windows(windows=(1, 4, 1, 5, 5)):
    """Swin's: a mask for each of the 4 windows of an image."""
    draft = Draft((4, 3, 5, 8), y=TensorSpec((4, 3, 8, 5), QuantSpec(4, True, (0.1,), (2,))))
    draft("real", Dequantize(), draft("acc", MatMul(), "x", "y"))
    draft("shifted", Add(), "real", draft.constant("places", (1, 3, 5, 5)))
    draft("apart", Reshape((1, 4, 3, 5, 5)), "shifted")
    draft("masked", Add(), "apart", draft.constant("mask", windows))
    draft(
        "codes",
        Quantize(QuantSpec(4, False, (1 / 15,))),
        draft("shares", Softmax(), draft("back", Reshape((4, 3, 5, 5)), "masked")),
    )
    return draft.done(), ["acc real shifted apart masked back shares codes"]


def scores_of_windows_and_heads():
    """A mask that differs between heads is none of Swin's."""
    return scores_of_windows((1, 4, 3, 5, 5))[0], [
        "acc",
        "real",
        "shifted",
        "apart",
        "masked",
        "back",
        "shares",
        "codes",
    ]


def attention_output():
    draft = Draft((1, 3, 5, 8), y=TensorSpec((1, 3, 8, 6), QuantSpec(4, True, (0.1, 0.2, 0.3), (0, 1, -2), 1)))
    draft("real", Dequantize(), draft("acc", MatMul(), "x", "y"))
    draft("whole", Reshape((1, 5, 18)), draft("moved", Transpose((0, 2, 1, 3)), "real"))
    draft("codes", Quantize(UNSIGNED), "whole")
    return draft.done(), ["acc real moved whole codes"]


CASES = [
    product, linear_requantize, linear_requantize_per_channel, linear_requantize_along_tokens,
    linear_requantize_in_two_roundings, linear_of_two_readers, linear_whose_sums_are_wanted, convolution_per_channel,
    convolution_per_channel_of_one_group, convolution_along_rows, matmul_per_head, matmul_of_windows,
    addition_requantized, residual,
    residual_of_bytes, residual_that_grows, residual_of_odd_width, residual_of_constants, residual_twice_the_same,
    table_softmax, table_softmax_short, integer_norm, integer_norm_transposed,
    linear_table, linear_table_in_blocks, linear_table_of_bytes, linear_table_of_words, linear_table_in_two_roundings,
    linear_table_of_two_readers, integer_norm_of_tokens, integer_norm_of_odd_width,
    integer_norm_of_powers,
    linear_bias, linear_positions, linear_residual, linear_residual_of_constants,
    linear_gelu, linear_gelu_of_channels, norm, norm_of_heads, norm_of_channels, scores, scores_of_heads,
    scores_of_windows, scores_of_windows_and_heads, attention_output,
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_steps_and_bits(fused, case):
    (graph, feeds), wanted = case()
    assert [" ".join(step) for step in fused(graph, feeds)] == wanted


@pytest.mark.parametrize("case", CASES)
def test_every_value_that_is_kept_ends_a_step(fused, case):
    (graph, feeds), _ = case()
    for node in graph.nodes[:-1]:
        steps = fused(graph, feeds, [node.name], tiers=["portable"], ways=((4, 1),))
        assert node.name in {step[-1] for step in steps}


@pytest.mark.parametrize("case", CASES)
def test_no_step_keeps_the_graph(case):
    gc.freeze()  # what is there already is not looked at, which takes a second
    try:
        (graph, feeds), _ = case()
        simulate(graph, feeds)
        made = weakref.ref(graph)
        del graph
        gc.collect()
        assert made() is None
    finally:
        gc.unfreeze()


def test_every_fusion_is_here():
    names = {case.__name__ for case in CASES}
    of = {
        "product": "product", "product_requantize": "linear_requantize", "norm_requantize": "integer_norm",
        "product_lookup": "linear_table",
        "softmax_requantize": "table_softmax",
        "linear_floats": "linear_bias", "heads_codes": "attention_output", "norm_codes": "norm", "scores_codes": "scores",
    }  # fmt: skip
    assert set(catalog.names("hwsim.fusions")) == set(of)
    assert set(of.values()) <= names


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.int16])
def test_a_stream_may_be_replaced_by_codes_of_any_container(fused, kind):
    """They are read by their address."""
    draft = Draft((1, 7, 24), y=TensorSpec((1, 7, 32), STREAM))
    draft.linear()
    draft("moved", Transpose((0, 1, 2)), "y")
    draft("sum", Add(16), draft.requantize(grid=STREAM), "moved")
    graph, feeds = draft.done()
    other = draft.codes((5, 7, 32), STREAM).astype(kind)
    assert ("acc", "codes", "sum") in fused(graph, feeds, replace={"moved": other})
