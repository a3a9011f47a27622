"""P2-ViT: every scale is a power of two, so that every requantization is a shift."""

import math

import pytest

from hwsim.cost.units import requantizes_by_shift
from hwsim.lower import integerize
from hwsim.lower.ranges import measure
from hwsim.lower.report import float_parts
from hwsim.ops.requantize import Requantize
from hwsim.simulator import as_codes, simulate
from qmodels import data
from qmodels.tracing import INPUT


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("p2vit", "w4a4"),
        pytest.param("p2vit", "w8a8", marks=pytest.mark.slow),
        pytest.param("p2vit_paper", "w4a4", marks=pytest.mark.slow),
    ],
)
def test_every_scale_is_a_power_of_two_and_every_code_that_of_the_fake_quant_model(made, graph_of, kl, name, bits):
    outcome = made(name, bits)
    graph = graph_of(outcome)
    scales = [scale for spec in graph.specs.values() if spec.quant is not None for scale in spec.quant.scale]
    assert len(scales) > 2000
    assert {math.frexp(scale)[0] for scale in scales} == {0.5}
    assert requantizes_by_shift(graph)
    zeros = {zero for spec in graph.specs.values() if spec.quant is not None for zero in spec.quant.zero_point}
    assert zeros == {0}
    assert kl(outcome.model) < (0.01 if bits == "w8a8" else 0.15)


@pytest.mark.parametrize("bits", [pytest.param("w8a8", marks=pytest.mark.slow), "w4a4"])
def test_every_requantization_of_its_integer_form_is_a_shift(made, graph_of, bits):
    graph = graph_of(made("p2vit", bits))
    ranges = measure(graph, {INPUT: data.digits("train")[0][:64].numpy()})
    integers = integerize(graph, "p2vit", ranges)
    assert float_parts(integers) == ()
    assert not integers.meta["not_shifts"]
    requantizations = [node.op for node in integers.nodes if isinstance(node.op, Requantize)]
    assert len(requantizations) > 30
    assert {multiplier.bit_count() for op in requantizations for multiplier in op.multiplier} <= {0, 1}
    for name in graph.specs.keys() & integers.specs.keys():  # the recipe has nothing left to round
        before, after = graph.specs[name].quant, integers.specs[name].quant
        assert before is None or before.scale == after.scale, name
    images = {INPUT: data.digits("test")[0][:120].numpy()}
    ours = simulate(integers, as_codes(integers, images))[integers.outputs[0]].argmax(1)
    theirs = simulate(graph, images)[graph.outputs[0]].argmax(1)
    assert (ours == theirs).mean() > 0.9


def test_other_scales_make_multipliers(made, graph_of):
    graph = graph_of(made("fqvit", "w8a8"))
    assert not requantizes_by_shift(graph)
    integers = integerize(graph, "fqvit", measure(graph, {INPUT: data.digits("train")[0][:16].numpy()}))
    multipliers = [m for node in integers.nodes if isinstance(node.op, Requantize) for m in node.op.multiplier]
    assert max(multiplier.bit_count() for multiplier in multipliers) > 5


@pytest.mark.slow
def test_the_error_of_outputs_finds_better_exponents_than_rounding_alone(made, kl):
    """Nearest, which clips where s is a little above a power of two, is as good here."""

    search, ceil, floor = (
        kl(made("p2vit", "w4a4", **({"changes": {"power_scales.rounding": rounding}} if rounding else {})).model)
        for rounding in ("", "ceil", "floor")
    )
    assert 2 * search < ceil < floor


@pytest.mark.slow
def test_factors_of_two_before_norms_are_worth_most(made, kl):
    tensor = kl(made("p2vit", "w4a4", changes={"factors.most": "0"}).model)
    assert tensor > 5 * kl(made("p2vit", "w4a4").model)
