"""Groups of channels: K integer products and sums, and where they stand between one scale and one per channel."""

import pytest

from hwsim.cost.work import work
from hwsim.lower import integerize
from hwsim.lower.ranges import measure
from hwsim.lower.report import float_parts
from hwsim.simulator import as_codes, simulate
from qmodels import checkpoint, data
from qmodels.tracing import INPUT

ONE_EACH = (5, 13, 21, 29, 37, 45)
"""A channel of each of the six groups."""


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("peg", "w4a4"),
        pytest.param("peg", "w8a8", marks=pytest.mark.slow),
        pytest.param("peg_paper", "w4a4", marks=pytest.mark.slow),
    ],
)
def test_its_integers_are_those_of_its_fake_quant_model(made, graph_of, kl, name, bits):
    outcome = made(name, bits)
    graph = graph_of(outcome)
    products = [
        node.name
        for node in graph.nodes
        if node.name.startswith("blocks.2.attn.qkv") and node.op.gemm(graph.inputs_of(node), graph.specs[node.name])
    ]
    assert len(products) == 6
    assert kl(outcome.model) < (0.001 if bits == "w8a8" else 0.1)


@pytest.mark.slow
def test_it_has_an_integer_form(made, graph_of):
    graph = graph_of(made("peg", "w8a8"))
    integers = integerize(graph, "lut", measure(graph, {INPUT: data.digits("train")[0][:32].numpy()}))
    assert float_parts(integers) == ()
    images = {INPUT: data.digits("test")[0][:120].numpy()}
    ours = simulate(integers, as_codes(integers, images))[integers.outputs[0]].argmax(1)
    theirs = simulate(graph, images)[graph.outputs[0]].argmax(1)
    assert (ours == theirs).mean() > 0.97


def test_the_cost_model_counts_each_group(made, graph_of):
    """A rescaling and an addition more per group, output and layer; products and sizes stay."""
    ours, theirs = (work(graph_of(made(name, "w4a4"))) for name in ("peg", "ptq_minmax"))

    def total(rows, role):
        return sum(row.elements for row in rows if row.role == role)

    outputs = 4 * 65 * (3 * 48 + 4 * 48)  # of qkv and fc1
    for role in ("dequantize", "add"):
        assert total(ours, role) - total(theirs, role) == 5 * outputs
    assert total(ours, "residual") == total(theirs, "residual")
    assert sum(row.macs for row in ours) == sum(row.macs for row in theirs)
    groups = {row.group for row in ours}
    assert "other" not in groups
    assert sum(row.macs for row in ours if row.group == "qkv") == sum(row.macs for row in theirs if row.group == "qkv")


@pytest.mark.slow
def test_under_an_outlier_it_stands_between_one_scale_and_one_per_channel(made, kl, method_of, outliers):
    method_of("ptq_minmax", name="channels", per_input_channel=True)  # no integer product executes it
    teacher = outliers(ONE_EACH[0])
    tensor, groups, channels = (
        kl(made(name, "w4a4", teacher=teacher).model) for name in ("ptq_minmax", "peg", "channels")
    )
    assert tensor > 8 * groups
    assert groups > 1.5 * channels


@pytest.mark.slow
def test_where_every_group_has_an_outlier_sorting_brings_them_together(made, kl, method_of, outliers):
    stages = method_of("peg_paper", name="kept").stages
    method_of("peg", name="sorted", stages=((stages[0][0], *method_of("peg", name="kept").stages[0]),))
    teacher = outliers(*ONE_EACH)
    sorted_, unsorted = (kl(made(name, "w4a4", teacher=teacher).model) for name in ("sorted", "peg"))
    assert unsorted > 1.5 * sorted_


@pytest.mark.slow
def test_a_group_for_each_channel_is_a_scale_per_channel_that_integers_execute(made, kl, graph_of, outliers):
    teacher, changes = outliers(ONE_EACH[0]), {"groups": "48"}
    outcome = made("peg", "w4a4", teacher=teacher, changes=changes)
    assert kl(outcome.model) < kl(made("peg", "w4a4", teacher=teacher).model) / 1.5
    assert (
        len(
            checkpoint.load(made.path("peg", "w4a4", teacher=teacher, changes=changes))[0]
            .blocks[0]
            .attn.qkv.input_quantizer
        )
        == 48
    )
