"""The tables and figures of suites of trainings: what they say of hand-made records."""

import math
import statistics

import pytest

from hwsim.errors import BadFile
from hwsim.record import Record
from reports.figures.ablation import ablation as drawn_ablation
from reports.figures.ablation_mechanisms import ablation_mechanisms as drawn_mechanisms
from reports.figures.accuracy_of_suites_against_bits import accuracy_of_suites_against_bits
from reports.figures.attention_maps import attention_maps
from reports.figures.learned_scales import learned_scales
from reports.figures.query_key_codes import query_key_codes
from reports.tables.ablation import ablation
from reports.tables.ablation_mechanisms import ablation_mechanisms
from reports.trainings import Group, detailed, groups, legend_columns, model_of, name


def record(metric, value, node="", bits=2, label="LSQ", seed=0, place=1, workload=None, **tags):
    said = {"suite": "s", "wbits": bits, "abits": bits, "label": label, "seed": seed, "place": place, **tags}
    named = tuple((key, str(text)) for key, text in said.items())
    return Record(workload or f"digits_deit_w{bits}a{bits}", metric, value, "", node, tags=named)


def seeded(metric, values, **more):
    return [record(metric, value, seed=seed, **more) for seed, value in enumerate(values)]


def test_a_group_is_all_seeds_of_a_method_and_the_mean_over_its_nodes():
    rows = seeded("m", (1.0, 2.0, 6.0), node="a") + seeded("m", (3.0, 4.0, 8.0), node="b")
    (group,) = groups(rows, "m")
    assert group == Group("digits_deit", (2, 2), "LSQ", (2.0, 3.0, 7.0))
    assert group.mean == 4.0
    assert group.spread == statistics.stdev((2, 3, 7))
    assert group.told(1, 10) == "40.0 ± 26.5"
    assert Group("m", (2, 2), "x", (5.0,)).told() == "5.00 ± 0.00"


def test_groups_stand_by_width_and_then_as_in_the_suite():
    rows = [record("m", 1.0, label=label, bits=bits, place=place) for label, bits, place in (
        ("b", 4, 11), ("a", 2, 9), ("z", 2, 2), ("float", 32, 30), ("other", 2, ""))]  # fmt: skip
    found = groups(rows, "m")
    assert [(group.bits[0], group.label) for group in found] == [
        (32, "float"),
        (2, "z"),
        (2, "a"),
        (2, "other"),
        (4, "b"),
    ]
    assert [name(group, found) for group in found[:2]] == ["float", "W2A2 z"]
    two = (*found, Group("deit_tiny_patch16_224", (2, 2), "LSQ", (1.0,)))
    assert name(two[-1], two) == "DeiT-T W2A2 LSQ"


def test_the_model_is_what_stands_before_the_bits():
    for workload in ("swin_w4a8", "swin_w4a8_lsq_plus", "swin"):
        assert model_of(record("m", 1.0, workload=workload)) == "swin"


def test_runs_that_keep_details_stand_in_the_order_of_the_suite():
    rows = [record("pixel", 0.0, label="b", place=10), record("pixel", 1.0, label="a", place=9)]
    assert list(detailed(rows, "pixel")) == ["W2A2 a", "W2A2 b"]


@pytest.mark.parametrize(("labels", "columns"), [([], 1), (["a" * 200], 1), (["a"] * 3, 3), (["a" * 19] * 9, 4)])
def test_a_legend_fits(labels, columns):
    assert legend_columns(labels) == columns


def test_tables_hold_mean_and_spread():
    rows = seeded("run_accuracy", (0.90, 0.92), split="test") + seeded("run_accuracy", (0.1, 0.1), split="validation")
    rows += seeded("run_kl_divergence", (0.25, 0.25)) + seeded("run_seconds", (59.6, 60.4))
    table = ablation(rows)
    assert table.rows == (("W2A2", "LSQ", "2", "91.00 ± 1.41", "0.250 ± 0.000", "", "", "60 ± 1"),)
    assert all(table.right_aligned()[3:5])
    rows = seeded("code_entropy", (1.5, 1.7), operand="q") + seeded("code_entropy", (1.0, 1.0), operand="k")
    rows += seeded("map_distance", (0.25, 0.25), bits=32, label="float") + seeded(
        "oscillating", (0.02, 0.02), last="true"
    )
    rows += seeded("oscillating", (0.5, 0.5), last="false")
    assert ablation_mechanisms(rows).rows == (
        ("float", "float", "", "", "0.250 ± 0.000", "", ""),
        ("W2A2", "LSQ", "1.600 ± 0.141", "1.000 ± 0.000", "", "", "2.00 ± 0.00"),
    )


def test_every_seed_is_a_dot_and_the_bar_their_mean():
    rows = seeded("run_accuracy", (0.90, 0.92, 0.97), split="test") + seeded("run_kl_divergence", (0.3, 0.1, 0.2))
    wrong, divergence, other = drawn_ablation(rows).figure.axes
    assert wrong.patches[0].get_width() == pytest.approx(7.0)
    assert list(wrong.lines[-1].get_xdata()) == pytest.approx([10.0, 8.0, 3.0])
    assert divergence.patches[0].get_width() == pytest.approx(0.2)
    assert not other.patches
    (entropy,) = drawn_mechanisms(seeded("code_entropy", (1.0, 2.0))).figure.axes
    assert entropy.patches[0].get_width() == 1.5


def test_lines_against_bits_are_of_methods_with_two_widths():
    rows = seeded("run_accuracy", (0.9, 0.8), split="test") + seeded("run_accuracy", (0.98, 0.96), bits=4, split="test")
    assert accuracy_of_suites_against_bits(rows[:2]) is None
    rows += seeded("run_accuracy", (0.99,), bits=32, label="float", split="test")
    accuracy, _ = accuracy_of_suites_against_bits(rows).figure.axes
    assert [text.get_text() for text in accuracy.get_xticklabels()] == ["W4A4", "W2A2"]
    assert [list(line.get_ydata()) for line in accuracy.lines][:2] == [[99.0, 99.0], pytest.approx([97.0, 85.0])]


def test_codes_stand_beside_the_values_they_are_of():
    rows = []
    for operand in "qk":
        rows += [
            record("histogram", 0.5, operand=operand, stage=stage, x=x, width=2)
            for stage in ("before", "after") for x in (1, -1)
        ]  # fmt: skip
        rows += [record("code_share", 0.25, operand=operand, code=code, x=code / 2) for code in (1, -2, -1, 0)]
    density, shares, *_ = query_key_codes(rows).figure.axes
    assert list(density.lines[0].get_xdata()) == [-1.0, 1.0]
    assert list(density.lines[0].get_ydata()) == [0.25, 0.25]
    assert sorted(line.get_xdata()[0] for line in density.lines[1:]) == [-1.0, -0.5, 0.0, 0.5]
    assert [text.get_text() for text in shares.get_xticklabels()] == ["-2", "-1", "0", "1"]
    assert shares.get_title(loc="left") == "2.00 bit"
    assert query_key_codes(rows[:4]) is None


def test_maps_have_a_cell_per_patch():
    cells = [
        record(metric, row + column / 4, image=8, row=row, column=column, label=label)
        for metric in ("attention_share", "pixel") for row in (0, 1) for column in (0, 1) for label in ("a", "b")
    ]  # fmt: skip
    image, first, second = attention_maps(cells).figure.axes
    for axes in (image, first, second):
        assert axes.collections[0].get_array().tolist() == [[0.0, 0.25], [1.0, 1.25]]
    assert [axes.get_title() for axes in (first, second)] == ["W2A2 a", "W2A2 b"]
    with pytest.raises(BadFile, match=r"^tag row: must be a number, got ''; write the records again"):
        attention_maps([record("attention_share", 1.0, image=8, column=0)])


def test_scales_are_those_of_the_narrowest_width():
    nodes = ("blocks.0.mlp.fc1.weight_quantizer", "blocks.0.attn.qk.a_quantizer", "blocks.0.mlp.fc1.input_quantizer")
    rows = [record("scale", 10.0**i, node, seed=seed) for i, node in enumerate(nodes) for seed in (0, 1)]
    rows += [record("scale", 7.0, nodes[0], bits=4)]
    weights, inputs, attention = learned_scales(rows).figure.axes
    assert [[math.log10(y) for y in axes.lines[0].get_ydata()] for axes in (weights, inputs, attention)] == [
        [0],
        [2],
        [1],
    ]
    assert attention.get_xticklabels()[0].get_text() == "0.qk.a"
