"""PTQ-ViT: integers as its fake-quant model has them, grids as the paper has them, and what the search is worth."""

import pytest
import torch

from hwsim.graph import op_name
from hwsim.lower import integerize
from hwsim.lower.ranges import measure
from hwsim.lower.report import float_parts
from hwsim.spec import QuantSpec
from qmodels import data, method
from qmodels.quantizers.uniform import Uniform
from qmodels.searches.minmax import MinMax
from qmodels.steps.ranges import Ranges
from qmodels.tracing import INPUT

QUICK = {"output_search.candidates": "30", "output_search.rows": "6", "output_search.rounds": "4"}


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("ptqvit", "w4a4"),
        pytest.param("ptqvit", "w8a8", marks=pytest.mark.slow),
        pytest.param("ptqvit_paper", "w4a4", marks=pytest.mark.slow),
    ],
)
def test_its_integers_are_those_of_its_fake_quant_model(made, graph_of, name, bits):
    graph = graph_of(made(name, bits, changes=QUICK, images=16))
    for node in graph.nodes:
        if op_name(node.op) in ("linear", "matmul", "conv2d"):
            specs = [graph.specs[operand].quant for operand in node.inputs]
            assert all(isinstance(spec, QuantSpec) and not any(spec.zero_point) for spec in specs), node.name
            signed = [spec.signed for spec in specs]
            assert signed == [name == "ptqvit_paper" or not node.name.endswith("av"), True]


def test_scales_are_of_tensors_and_of_q_k_and_v(made):
    model = made("ptqvit", "w4a4", changes=QUICK, images=16).model
    sizes = {name: m.scale.numel() for name, m in model.named_modules() if isinstance(m, Uniform)}
    assert {name for name, size in sizes.items() if size == 3} == {
        f"blocks.{i}.attn.qkv.weight_quantizer" for i in range(4)
    }
    assert set(sizes.values()) == {1, 3}


def test_it_has_an_integer_form(made, graph_of):
    graph = graph_of(made("ptqvit", "w4a4", changes=QUICK, images=16))
    feeds = {INPUT: data.digits("train")[0][:16].numpy()}
    assert float_parts(integerize(graph, "lut", measure(graph, feeds))) == ()


def test_the_paper_s_preset_names_its_deviations():
    for preset in ("deployable", "paper"):
        found = method.find("ptqvit", preset)
        assert (found.preset, found.deviations) == (preset, "methods/ptqvit.md")
        assert [step.name for step in found.stages[0]] == ["output_search", "bias_correction"]
        assert found.stages[0][0].gamma == 0.1


def test_the_ranking_term_changes_the_scores_alone(method_of, made):
    search = method.find("ptqvit").stages[0][0]
    method_of("ptqvit", name="searched", stages=((search,),))
    with_it = made("searched", "w4a4", changes=QUICK, images=16).model.state_dict()
    without = made("searched", "w4a4", changes={**QUICK, "output_search.gamma": "0"}, images=16).model.state_dict()
    first = [
        name for name in with_it if name.startswith("blocks.0.attn") and not torch.equal(with_it[name], without[name])
    ]
    assert {name.split(".")[3] for name in first if name.split(".")[3] != "proj"} <= {"qk", "av"}
    other = [name for name in with_it if not torch.equal(with_it[name], without[name])]
    assert any(".qk." in name for name in other)


@pytest.mark.slow
def test_the_search_beats_min_max_in_divergence_from_the_float_model(method_of, made, kl):
    """METHODS' safe assertion: KL(float || quantized), the same grids, images and seeds; mean of three."""
    method_of("ptqvit", name="searched", stages=((method.find("ptqvit").stages[0][0],),))
    method_of("ptqvit", name="spanned", stages=((Ranges(MinMax(), MinMax()),),))
    ours = [
        kl(made("searched", "w4a4", changes={**QUICK, "output_search.gamma": "0"}, seed=seed).model)
        for seed in range(3)
    ]
    theirs = [kl(made("spanned", "w4a4", seed=seed).model) for seed in range(3)]
    assert sum(ours) < 0.8 * sum(theirs), (ours, theirs)
    ours = kl(made("searched", "w3a3", changes={**QUICK, "output_search.gamma": "0"}).model)
    assert ours < 0.5 * kl(made("spanned", "w3a3").model)
