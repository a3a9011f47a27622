"""Widths within a budget: the least Omega there is, by trying all; costs that are the traced model's; what is refused."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

import workloads
from hwsim.accel.layer_bits import LayerBits
from hwsim.cli import run
from hwsim.cost.storage import parameter_bytes
from hwsim.cost.table import tally
from hwsim.cost.work import work
from hwsim.errors import HwsimError
from qmodels import allocation, builder, checkpoint, data, method, models, widths
from qmodels import method as methods
from qmodels.calibrate import calibrate
from qmodels.evidence import trace_model

pytestmark = pytest.mark.slow

W6, W8 = workloads.find("digits_deit_w6a6_lsq"), workloads.find("digits_deit_w8a8_lsq")
SIZE = 0.11


@pytest.fixture(scope="module")
def teacher():
    return builder.build("digits_float")


@pytest.fixture(scope="module")
def images():
    return data.digits("train")[0][:8]


@pytest.fixture(scope="module")
def found(teacher, images):
    return allocation.for_budget(W6, "lsq", teacher, images, size_mb=SIZE)


def quantized(workload, teacher, images, layer_bits, own="lsq"):
    model = models.quantize(
        models.create(workload.model.name), workload.bits, own, initialise=False, layer_bits=layer_bits
    )
    model.load_state_dict(teacher.state_dict(), strict=False)
    return calibrate(model, images).eval()


def everything(report, price, others):
    """Omega and costs of every allocation there is; costs from single modules, by differences."""
    choices = [tuple(module.squared) for module in report.modules]
    low = {p: (c[0], c[0]) for m, c in zip(report.modules, choices, strict=True) for p in m.place.products}
    base = price({**low, **others})
    losses, sizes, bops = 0.0, base["size_mb"], base["bops_g"]
    for axis, (module, own) in enumerate(zip(report.modules, choices, strict=True)):
        shape = [1] * len(choices)
        shape[axis] = len(own)
        costs = [price({**low, **others, **dict.fromkeys(module.place.products, (b, b))}) for b in own]
        losses = losses + np.array([module.omega(b) for b in own]).reshape(shape)
        sizes = sizes + np.array([c["size_mb"] - base["size_mb"] for c in costs]).reshape(shape)
        bops = bops + np.array([c["bops_g"] - base["bops_g"] for c in costs]).reshape(shape)
    return losses, sizes, bops


@pytest.fixture(scope="module")
def tried(found, teacher):
    lsq = method.find("lsq")
    price = allocation.price_of(allocation.rows_of(W6, lsq), lsq)
    others = {"patch_embed.proj": (8, 8), "head": (8, 8)}
    return price, others, everything(found[1], price, others)


def test_one_width_per_module_and_the_ends_as_they_are(found, teacher):
    bits, report = found
    assert set(bits) == set(widths.of(teacher))
    assert bits["patch_embed.proj"] == bits["head"] == (8, 8)
    for module in report.modules:
        own = {bits[product] for product in module.place.products}
        assert own == {(report.widths[module.place.name],) * 2}
    assert set(report.widths.values()) <= {4, 5, 6, 7, 8}
    assert report.found.amounts["size_mb"] <= SIZE


def test_no_allocation_within_the_budget_has_less_omega(found, tried):
    losses, sizes, _ = tried[2]
    assert losses.size == 5**8
    within = losses[sizes <= SIZE * (1 + 1e-9)]
    assert found[1].found.loss == pytest.approx(within.min(), rel=1e-9)


@pytest.mark.parametrize(("size", "bops"), [(0.1, 0.33), (0.12, 0.26), (0.2, 0.2)])
def test_nor_within_two_budgets(found, tried, size, bops):
    price, others, (losses, sizes, operations) = tried
    best = losses[(sizes <= size * (1 + 1e-9)) & (operations <= bops * (1 + 1e-9))].min()
    setting = allocation.allocate(found[1].modules, others, price, {"size_mb": size, "bops_g": bops})
    assert setting.loss == pytest.approx(best, rel=1e-9)
    assert setting.amounts["size_mb"] <= size * (1 + 1e-9)
    assert setting.amounts["bops_g"] <= bops * (1 + 1e-9)


@pytest.mark.parametrize(("thing", "which"), [("size_mb", 1), ("bops_g", 2)])
def test_the_front_is_all_that_nothing_beats(found, tried, thing, which):
    price, others, tables = tried
    losses, costs = tables[0].ravel(), tables[which].ravel()
    front = allocation.pareto(found[1].modules, others, price, thing)
    points = [(setting.loss, setting.amounts[thing]) for setting in front]
    assert points == sorted(points)
    assert all(cost > later for (_, cost), (_, later) in itertools.pairwise(points))
    for loss, cost in points:
        assert losses[costs <= cost * (1 + 1e-9)].min() == pytest.approx(loss, rel=1e-9)
    assert points[0][0] == pytest.approx(losses.min())
    assert points[-1][1] == pytest.approx(costs.min())
    assert price(front[3].widths)[thing] == pytest.approx(points[3][1])


@pytest.mark.parametrize(
    ("workload", "own", "budget"),
    [(W6, "lsq", SIZE), (W8, "lsq", 0.14), (W6, "fqvit", SIZE), pytest.param(W6, "peg", SIZE, marks=pytest.mark.slow)],
)
def test_the_cost_is_what_the_cost_model_says_of_the_traced_model(teacher, images, workload, own, budget):
    bits, report = allocation.for_budget(workload, own, teacher, images[:4], size_mb=budget, bops_g=1)
    rows = work(trace_model(quantized(workload, teacher, images[:4], bits, own), workload))
    assert report.found.amounts["size_mb"] == parameter_bytes(rows) / 1e6
    assert report.found.amounts["bops_g"] == tally(rows, "bitops_wa").total / 1e9
    own = {row.node: (row.gemm.a_bits, row.gemm.b_bits) for row in rows if row.gemm}
    assert {name: own[name] for name in bits} == bits


def test_around_8_bits_they_reach_10_and_every_code_is_the_integers_own(teacher, images, tmp_path, capsys):
    bits, report = allocation.for_budget(W8, "lsq", teacher, images, size_mb=0.14)
    assert set(report.widths.values()) <= {6, 7, 8, 9, 10}
    assert max(report.widths.values()) > 8
    path = tmp_path / "mixed.safetensors"
    checkpoint.save(quantized(W8, teacher, images, bits), W8.name, path)
    assert run(["verify", str(path), "--limit", "6"]) == 0
    shown = capsys.readouterr().out
    assert "Codes that differ, node by node, float64         0 of" in shown
    assert "Codes that differ, free running, float64         0 of" in shown


def test_a_mixed_checkpoint_of_4_6_and_8_bits_verifies(teacher, images, tmp_path):
    path = tmp_path / "mixed.safetensors"
    plan = {"blocks.0.*": (4, 4), "blocks.1.mlp.*": (8, 8), "blocks.2.attn.qk": (4, 8), "blocks.3.mlp.fc2": (6, 4)}
    checkpoint.save(quantized(W6, teacher, images, plan), W6.name, path)
    assert run(["verify", str(path), "--limit", "6", "--json", str(tmp_path / "answer.json")]) == 0
    said = (tmp_path / "answer.json").read_text()
    assert '"layers": "mixed"' in said


def test_what_was_found_is_a_bits_file(found, tmp_path):
    bits, report = found
    LayerBits.of(bits, "by omega").write(tmp_path / "bits.json")
    assert LayerBits.read(tmp_path / "bits.json").resolve(bits) == bits
    assert report.as_json()["bits"] == {name: list(pair) for name, pair in bits.items()}


def test_the_report_says_what_it_is_made_of(found):
    report = found[1]
    text = str(report).splitlines()
    assert text[0].split() == ["module", "kind", "nuclear", "norm", "bits", "perturbation", "omega"]
    assert len(report.rows()) == 8
    first = dict(zip(report.columns, report.rows()[0], strict=True))
    module = report.modules[0]
    width = report.widths["blocks.0.attn"]
    assert first["module"] == "blocks.0.attn"
    assert first["bits"] == str(width)
    assert float(first["omega"]) == pytest.approx(module.nuclear * module.squared[width], rel=1e-3)
    assert report.found.loss == pytest.approx(sum(m.omega(report.widths[m.place.name]) for m in report.modules))
    assert text[-7] == "digits_deit_w6a6_lsq, lsq: size_mb at most 0.11 MB"
    assert text[-6].startswith("found: omega ")
    assert [line.split(":")[0] for line in text[-5:]] == [f"{b} bits" for b in (4, 5, 6, 7, 8)]
    assert report.uniform[6].amounts["bops_g"] == pytest.approx(0.320368128)


def test_candidates_lie_around_the_target():
    bits = workloads.find("digits_deit_w4a4_lsq").bits
    lsq = methods.find("lsq")
    assert allocation.candidates_of(W6.bits, lsq) == (4, 5, 6, 7, 8)
    assert allocation.candidates_of(W8.bits, lsq) == (6, 7, 8, 9, 10)
    assert allocation.candidates_of(bits, lsq) == (2, 3, 4, 5, 6)
    assert allocation.candidates_of(dataclasses.replace(bits, weights=3, activations=3), lsq) == (2, 3, 4, 5)


@pytest.mark.parametrize(
    ("method", "wanted"),
    [
        ("isvit", (6, 7, 8)),
        ("repqvit", (6, 7, 8)),
        ("ptq4vit", (6, 7, 8)),
        ("ptqvit", (6, 7, 8, 9, 10)),
        ("fqvit", (6, 7, 8, 9, 10)),  # whose softmax has a width of its own
    ],
)
def test_candidates_end_where_the_grids_of_the_method_do(method, wanted):
    found = methods.find(method)
    assert allocation.candidates_of(W8.bits, found) == wanted
    assert any(row.gemm for row in allocation.rows_of(W8, found, {"blocks.*.attn.*": (wanted[-1],) * 2}))


def test_candidates_may_be_given(teacher, images):
    _, report = allocation.for_budget(W6, "lsq", teacher, images[:2], bops_g=0.3, candidates=[8, 4, 4])
    assert set(report.widths.values()) <= {4, 8}
    assert tuple(report.modules[0].squared) == (4, 8)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"size_mb": 0.01},
            "size_mb: a budget must be within reach, got 0.01 MB; the least that these widths reach is 0.07982 MB",
        ),
        (
            {"size_mb": 1, "bops_g": 0.1},
            "bops_g: a budget must be within reach, got 0.1 G BOPs; the least that these widths reach is 0.1442 G BOPs",
        ),
        ({"bops_g": -1}, "bops_g: a budget must be above 0, got -1 G BOPs; leave it out for no limit"),
        ({}, "allocation: a budget is needed, got none; give a size in MB, or G bit operations"),
        ({"size_mb": 1, "candidates": []}, "candidates: one width or more is needed, got none; say which, as 4,5,6"),
        ({"size_mb": 1, "candidates": [4, 11]}, "candidates: must be 2..10 bits by lsq, got 11; pass --candidates 4"),
        ({"size_mb": 1, "candidates": [1]}, "candidates: must be 2..10 bits by lsq, got 1; leave it out"),
    ],
)
def test_what_cannot_be_met_is_said_before_anything_is_measured(teacher, images, monkeypatch, asked, message):
    monkeypatch.setattr(allocation, "perturbations", None)
    with pytest.raises(HwsimError) as caught:
        allocation.for_budget(W6, "lsq", teacher, images, **asked)
    assert str(caught.value) == message


def test_the_least_that_is_named_can_be_met(teacher, images):
    _, report = allocation.for_budget(W6, "lsq", teacher, images[:2], size_mb=0.07982)
    assert set(report.widths.values()) == {4}


def test_a_target_of_two_widths_needs_candidates(teacher, images):
    with pytest.raises(HwsimError) as caught:
        allocation.for_budget(workloads.find("digits_deit_w4a8_lsq"), "lsq", teacher, images, size_mb=1)
    assert str(caught.value) == (
        "candidates: are known around one width of weights and activations, got W4A8; say which, as 4,5,6"
    )


def test_a_method_without_such_widths_says_so(teacher, images, monkeypatch):
    monkeypatch.setattr(allocation, "perturbations", None)
    line = r"^candidates: must be 2\.\.8 bits by repqvit, got 10; pass --candidates 6,8$"
    with pytest.raises(HwsimError, match=line):
        allocation.for_budget(W8, "repqvit", teacher, images, size_mb=1, candidates=(6, 8, 10))


def test_nothing_is_left_of_measuring(teacher, images, found):
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    allocation.for_budget(W6, "lsq", teacher, images[:2], size_mb=1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in teacher.modules())
