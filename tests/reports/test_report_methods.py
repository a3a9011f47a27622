"""The tables and figures of methods side by side: what they say of hand-made records."""

import pytest

from hwsim.errors import BadFile
from hwsim.record import Record
from reports.figures.accuracy_against_bits_of_methods import accuracy_against_bits_of_methods
from reports.figures.method_pareto import method_pareto
from reports.figures.reconstruction_error import reconstruction_error as drawn_errors
from reports.rivals import found, small, styles, told, units
from reports.tables.method_comparison import method_comparison
from reports.tables.method_details import method_details
from reports.tables.method_units import method_units
from reports.tables.quantizer_orderings import quantizer_orderings
from reports.tables.reconstruction_error import reconstruction_error
from reports.trainings import Group


def record(metric, value, node="", bits=4, label="a", seed=0, place=1, model="digits_deit", **tags):
    said = {"wbits": bits, "abits": bits, "label": label, "seed": seed, "place": place, **tags}
    named = tuple((key, str(text)) for key, text in said.items())
    return Record(f"{model}_w{bits}a{bits}_{label}", metric, value, "", node, tags=named)


def seeded(metric, values, **more):
    return [record(metric, value, seed=seed, **more) for seed, value in enumerate(values)]


def floating():
    return [
        record("method_accuracy", 0.98, bits=32, label="float", place=0, split="test"),
        record("method_size", 400_000.0, bits=32, label="float", place=0),
        record("method_kl_divergence", 0.0, bits=32, label="float", place=0),
    ]


def test_groups_stand_from_wide_to_narrow_and_the_float_model_first():
    rows = [record("m", 1.0, bits=b, label=m, place=p) for b in (3, 8, 32) for m, p in (("z", 1), ("a", 2))]
    assert [(key[1][0], key[2]) for key in found(rows, "m")] == [(b, m) for b in (32, 8, 3) for m in ("z", "a")]
    assert not found(rows, "m", "extras")


def test_numbers_are_told_with_a_spread_where_there_are_seeds():
    one, two = Group("m", (4, 4), "a", (0.5,)), Group("m", (4, 4), "a", (0.00012, 0.00014))
    assert (told(one, 2, 100), told(two, 4), told(None, 1)) == ("50.00", "0.0001 ± 0.0000", "")
    assert (small(one), small(two), small(None)) == ("0.5", "0.00013 ± 1.4e-05", "")


def test_the_table_says_all_of_a_method_in_a_row():
    rows = floating() + seeded("method_accuracy", (0.9, 0.92), split="test", changes="reconstruct.iterations=9")
    rows += seeded("method_accuracy", (0.9, 0.91), split="integer", images=7) + seeded(
        "method_kl_divergence", (0.1, 0.3)
    )
    rows += seeded("method_seconds", (1.0, 2.0)) + seeded("method_size", (80_000.0, 80_000.0))
    rows += seeded("method_size", (5.0, 5.0), node="extras") + seeded("method_shifts_only", (1, 1))
    rows += seeded("method_operations", (2e8, 2e8), convention="bitops_wa")
    rows += seeded("method_unit", (10, 20), node="row sums", nodes=4, charged="counted")
    rows += [record("method_undefined", "b: W4A4: bits must be 6, got 4", label="b", place=2)]
    table = method_comparison(rows)
    assert table.rows == (
        ("float", "float", "98.00", "", "0", "", "400 kB", "", ""),
        (
            *("W4A4", "a", "91.00 ± 1.41", "90.50 ± 0.71", "0.2 ± 0.14", "1.5 ± 0.7", "80 kB", "200 MBOP"),
            "row sums; requantizes by shifts",
        ),
        ("W4A4", "b", "", "", "", "", "", "", "not defined"),
    )
    assert "Not defined: b: W4A4: bits must be 6, got 4." in table.note
    assert "Means over 2 seeds ± standard deviation" in table.note
    assert "Fake quant; integers: the integer simulator on 7 images." in table.note
    assert "by bitops_wa;" in table.note
    several = method_comparison([*rows, record("method_accuracy", 0.5, model="deit_tiny_patch16_224", split="test")])
    assert [row[0] for row in several.rows] == ["DeiT-T", *["DeiT-digits"] * 3]
    assert several.rows[0][-1] == "none"


def test_details_add_codes_up_over_seeds():
    rows = floating() + seeded("method_agreement", (0.5, 1.0)) + seeded("method_size", (7e3, 7e3), node="extras")
    rows += seeded("method_codes", (100, 100), mode="free_running") + seeded(
        "method_mismatches", (0, 3), mode="free_running"
    )
    rows += seeded("method_mismatches", (0, 1), mode="node_by_node")
    rows += [record("method_peak", 7e8, before=600_000_000), record("method_peak", 8e8, seed=1, before=600_000_000)]
    assert method_details(rows).rows == (
        ("W4A4", "a", "2", "75.00 ± 35.36", "200", "1", "3", "7 kB", "600 ± 0", "750 ± 71"),
    )


def test_units_are_told_once_for_equal_widths():
    unit = {"node": "shifter", "nodes": 4, "charged": "as mac"}
    rows = [record("method_unit", value, bits=bits, **unit) for bits, value in ((8, 1000), (6, 1000), (4, 10))]
    rows += [record("method_unit", 5, label="b", place=2, node="encoder", nodes=1, charged="counted")]
    rows += [r for bits in (8, 6, 4) for r in [record("method_accuracy", 0.5, bits=bits, split="test")]]
    assert method_units(rows).rows == (
        ("a", "shifter", "W8A8, W6A6", "4", "1 k", "as mac"),
        ("a", "shifter", "W4A4", "4", "10", "as mac"),
        ("b", "encoder", "W4A4", "1", "5", "counted"),
    )
    assert units(rows)["digits_deit", (4, 4), "a"][0].times == 10


def points(*of):
    return [
        r
        for i, (label, bits, kl, operations, size) in enumerate(of)
        for metric, value in (
            ("method_kl_divergence", kl), ("method_operations", operations), ("method_size", size))
        for r in [record(metric, value, label=label, bits=bits, place=i)]
    ]  # fmt: skip


def test_the_front_holds_what_no_other_beats():
    plot = method_pareto(
        [
            *floating(),
            *points(
                ("a", 8, 0.01, 8.0, 80.0), ("b", 8, 0.02, 8.0, 79.0), ("a", 4, 0.1, 2.0, 41.0), ("b", 4, 0.3, 2.0, 42.0)
            ),
        ]
    )
    operations, size = plot.figure.axes
    assert [tuple(zip(*axes.lines[0].get_data(), strict=True)) for axes in (operations, size)] == [
        ((2.0, 0.1), (8.0, 0.01)),
        ((41.0, 0.1), (79.0, 0.02), (80.0, 0.01)),
    ]
    assert [text.get_text() for text in operations.texts] == ["W4A4", "W8A8"]
    faint = [line.get_alpha() for line in operations.lines[1:]]
    assert faint == [1.0, 0.35, 1.0, 0.35]
    legend = [text.get_text() for text in plot.figure.legends[0].get_texts()]
    assert legend == ["a", "b"]


def test_lines_are_of_methods_with_their_seeds():
    rows = floating() + seeded("method_accuracy", (0.9, 0.8), split="test") + seeded("method_kl_divergence", (0.2, 0.4))
    assert accuracy_against_bits_of_methods(rows) is None
    rows += seeded("method_accuracy", (0.96, 0.98), bits=8, split="test") + seeded(
        "method_kl_divergence", (0, 0), bits=8
    )
    accuracy, divergence = accuracy_against_bits_of_methods(rows).figure.axes
    assert [text.get_text() for text in accuracy.get_xticklabels()] == ["W8A8", "W4A4"]
    dashed, means, *dots = accuracy.lines
    assert list(dashed.get_ydata()) == [98.0, 98.0]
    assert list(means.get_ydata()) == pytest.approx([97.0, 85.0])
    assert [list(line.get_ydata()) for line in dots] == [pytest.approx([96.0, 98.0]), pytest.approx([90.0, 80.0])]
    assert list(divergence.lines[0].get_ydata()) == pytest.approx([1e-12, 0.3])


def test_looks_are_told_apart():
    looks = styles([f"m{i}" for i in range(18)])
    assert len(set(looks.values())) == 18


def error(value, place="softmax", quantizer="log2", bits=4, node="blocks.0", model="digits_deit"):
    tags = (("place", place), ("quantizer", quantizer), ("bits", str(bits)))
    return Record(model, "reconstruction_error", value, "", node, tags=tags)


def test_errors_are_means_over_modules():
    rows = [error(0.2), error(0.4, node="blocks.1"), error(1e-5, bits=8), error(0.5, "gelu", "uniform")]
    assert reconstruction_error(rows).rows == (
        ("behind softmax", "log2", "0.3000", "1.00e-05"),
        ("behind GELU", "uniform", "0.5000", ""),
    )
    softmax, gelu = drawn_errors(rows).figure.axes
    assert list(softmax.lines[0].get_ydata()) == [pytest.approx(0.3), 1e-5]
    assert gelu.get_title(loc="left") == "behind GELU"
    two = reconstruction_error([*rows, error(0.1, model="other")])
    assert two.columns[0] == "Model"
    with pytest.raises(BadFile, match=r"^tag bits: must be a number, got 'four'; write the records again"):
        reconstruction_error([error(0.1, bits="four")])


def test_orderings_say_where_they_hold():
    rows = [error(0.1, quantizer="SULQ", bits=b, node=n) for b in (3, 4) for n in "xyz"]
    rows += [error(v, bits=3, node=n) for v, n in ((0.2, "x"), (0.2, "y"), (0.0, "z"))]
    rows += [error(0.05, bits=4, node="x")]
    assert quantizer_orderings(rows).rows == (
        ("I&S-ViT", "behind softmax", "SULQ", "log2", "3", "0.50 (2/2)", "2.00 (0/1)"),
    )
    assert quantizer_orderings([error(0.1)]) is None
