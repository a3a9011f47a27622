"""The tables and figures of the integer form: what they say of hand-made records."""

import pytest

from hwsim.errors import BadFile
from hwsim.record import Record
from reports import prose
from reports.figures.accumulator_width import accumulator_width
from reports.figures.bit_flips import bit_flips
from reports.figures.nonlinearity_distance import nonlinearity_distance as drawn_distance
from reports.figures.recipes import recipes as drawn_recipes
from reports.figures.residual_width import residual_width
from reports.studies import LEAST_KL, parted, points, tag_number
from reports.style import _plain
from reports.tables.accumulator_widths import accumulator_widths
from reports.tables.nonlinearity_distance import nonlinearity_distance
from reports.tables.recipes import recipes

BITS = {"wbits": "4", "abits": "4"}


def point(study, workload="w", accuracy=0.75, drop=0.5, agreement=0.99, kl=0.001, **tags):
    values = {"accuracy": accuracy, "accuracy_drop": drop, "agreement": agreement, "kl_divergence": kl}
    said = tuple({**BITS, "study": study, **tags}.items())
    return [Record(workload, f"study_{metric}", value, "", tags=said) for metric, value in values.items()]


def distance(operator, family, bits, curve=(), inputs="every code", largest=0.5, rms=0.25):
    tags = {"family": family, "bits": str(bits), "scale": "0.0123456", "inputs": inputs}
    values = [("distance_max", largest, {}), ("distance_rms", rms, {})]
    values += [("distance_at", y, {"x": str(x)}) for x, y in curve]
    return [
        Record("nonlinearities", metric, y, "real", operator, tags=tuple({**tags, **at}.items()))
        for metric, y, at in values
    ]


def group(model, name, weights="trained", bits=4, **values):
    tags = (("wbits", str(bits)), ("abits", str(bits)), ("weights", weights))
    return [Record(model, f"group_accumulator_{key}", value, "", name, tags=tags) for key, value in values.items()]


def lines(axes):
    """The points of every line of a panel."""
    return [list(zip(*(list(map(float, part)) for part in line.get_data()), strict=True)) for line in axes.lines]


def test_a_point_is_whole_or_not_there():
    rows = [*point("s", recipe="a"), *point("s", recipe="b")[:3], *point("t")]
    (found,) = points(rows, "s")
    assert (found.workload, found.bits, found.tags["recipe"]) == ("w", (4, 4), "a")
    assert (found.accuracy, found.accuracy_drop, found.agreement, found.kl_divergence) == (0.75, 0.5, 0.99, 0.001)


def test_points_are_parted_by_workload_and_tags():
    rows = [*point("s", "v", way="b", x=1), *point("s", "w", way="a"), *point("s", "v", way="b", x=2), *point("s", "v")]
    parts = parted(points(rows, "s"), "way")
    assert {key: len(part) for key, part in parts.items()} == {("v", "b"): 2, ("w", "a"): 1, ("v", ""): 1}


@pytest.mark.parametrize(("tags", "got"), [({"x": "wide"}, "'wide'"), ({}, "''")])
def test_a_tag_that_is_no_number_is_refused(tags, got):
    assert tag_number({"x": "1e-4"}, "x") == 1e-4
    with pytest.raises(BadFile) as caught:
        tag_number(tags, "x")
    text = f"tag x: must be a number, got {got}; write the records again with `hwsim reproduce`"
    assert str(caught.value) == text


def test_recipes():
    table = recipes([*point("recipes", "digits_w4a4", recipe="lut"), *point("recipes", "v", 1.0, -1.5, 1.0, 2e-5)])
    assert table.rows == (
        ("digits_w4a4", "lut", "75.50 %", "75.00 %", "0.50", "99.00 %", "0.001 nat"),
        ("v", "", "98.50 %", "100.00 %", "-1.50", "100.00 %", "2e-05 nat"),
    )


def test_distances_stand_by_family_and_name_where_they_are_largest():
    rows = distance("b", "softmax", 8, inputs="rows") + distance("a", "gelu", 16, [(-2.4142, 0.1), (1, 0.5), (2, 0.3)])
    assert nonlinearity_distance(rows).rows == (
        ("gelu", "a", "16 bits", "0.0123", "every code", "0.5", "0.25", "1"),
        ("softmax", "b", "8 bits", "0.0123", "rows", "0.5", "0.25", ""),
    )
    assert nonlinearity_distance([Record("w", "distance_max", 1.0, "real", "node", tags=(("op", "igelu"),))]) is None


def test_accumulators_by_group():
    rows = group("digits_deit", "fc1", k=48, bits_codes=21, bits_weights=20, bits_seen=17)
    rows += group("digits_deit", "fc1", bits=8, k=40, bits_codes=25, bits_weights=24, bits_seen=21)
    rows += group("deit_small_patch16_224", "fc2", "random", k=1536, bits_codes=27, bits_weights=24)
    table = accumulator_widths(rows)
    assert table.columns == ("Model", "Layers", "K", "W8A8", "W4A4")
    assert table.rows == (
        ("DeiT-digits", "fc1", "48", "25 / 24 / 21", "21 / 20 / 17"),
        ("DeiT-S (random weights)", "fc2", "1,536", "", "27 / 24"),
    )


def test_the_drawn_points_are_those_of_the_records():
    rows = [*point("recipes", recipe="a", kl=0.25), *point("recipes", recipe="b", kl=0.0, agreement=1.0)]
    divergence, agreement = drawn_recipes(rows).figure.axes
    assert [y for ((_, y),) in lines(divergence)[:2]] == [0.25, LEAST_KL]
    assert [y for ((_, y),) in lines(agreement)[:2]] == [99.0, 100.0]
    rows = [*point("residual_width", residual_bits=16, kl=0.1), *point("residual_width", residual_bits=8, kl=0.2)]
    divergence, agreement = residual_width(rows).figure.axes
    assert lines(divergence) == [[(8.0, 0.2), (16.0, 0.1)]]
    assert lines(agreement) == [[(8.0, 99.0), (16.0, 99.0)]]


def test_accumulators_are_drawn_with_what_is_proven_about_them():
    marks = {"bits_seen": 16, "bits_weights": 19, "bits_codes": 19}
    rows = [r for b in (19, 15) for r in point("accumulator_width", acc_bits=b, overflow="wrap", **marks)]
    (axes,) = accumulator_width(rows).figure.axes
    assert lines(axes)[0] == [(15.0, 75.0), (19.0, 75.0)]
    assert [text.get_text() for text in axes.texts] == ["sums seen", "any activations, any operands"]


def test_flips_are_drawn_against_their_rate():
    rows = [r for rate in ("0.1", "1e-3") for r in point("bit_flips", target="codes", bit="msb", rate=rate, kl=0.5)]
    accuracy, divergence = bit_flips(rows).figure.axes
    assert lines(accuracy) == [[(0.001, 75.0), (0.1, 75.0)]]
    assert lines(divergence) == [[(0.001, 0.5), (0.1, 0.5)]]


def test_of_an_operators_distances_the_widest_and_the_narrowest_are_drawn():
    rows = [r for bits in (8, 12, 16) for r in distance("a", "gelu", bits, [(2, 0.0), (1, 0.1 * bits)])]
    (axes,) = drawn_distance(rows).figure.axes
    assert lines(axes) == [[(1.0, 1.6), (2.0, 1e-7)], [(1.0, 0.8), (2.0, 1e-7)]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a, 16 bits", "a, 8 bits"]
    one = drawn_distance(distance("a", "new family", 8, [(1, 0.5)])).figure.axes[0]
    assert lines(one) == [[(1.0, 0.5)]]
    assert one.get_title(loc="left") == "new family"


def test_the_head_says_what_there_is_to_read():
    ratio = Record("m", "theoretical_speedup", 6.0, "x", tags=tuple(BITS.items()))
    words = {name: " ".join(prose.about(rows)) for name, rows in {"q": [ratio], "i": point("s"), "": []}.items()}
    assert "A speedup here" in words["q"]
    assert "Integer form: no float" in words["i"]
    assert "speedup" not in words["i"]
    assert words[""] == ""


@pytest.mark.parametrize(
    ("value", "text"), [(1, "1"), (0.1, "0.1"), (1e-3, "0.001"), (1e-4, "1e-4"), (1e-12, "1e-12"), (16384, "16384")]
)
def test_powers_on_a_logarithmic_axis(value, text):
    assert _plain(value) == text
