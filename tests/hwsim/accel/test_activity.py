"""The activity file: what it says of codes, how parts join, and what is refused."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.accel.activity import Activity, OperandActivity, Operands, Readings, Toggled
from hwsim.errors import BadFile, HwsimError, UnknownName

MAKE = "write it with `hwsim simulate GRAPH --input FILE --activity OUT.json`"


def operand(widths=(2, 1, 1), **changed):
    """Four codes of two bits: 0 0 1 2 in one row, as a row of one group."""
    given = {
        "bits": 2,
        "constant": False,
        "set_bits": 2,
        "widths": widths,
        "group_widths_16": (0, 0, 1),
        "group_widths_256": (0, 0, 1),
        "along": Toggled(3, 3),
        "across": Toggled(0, 0),
    }
    return OperandActivity(**(given | changed))


def activity(images=2, graph="mlp", **products):
    both = Operands(operand(), operand(constant=True))
    return Activity(graph=graph, images=images, products=products or {"fc1": Readings(both, both)})


def test_figures_of_four_codes():
    seen = operand()
    assert seen.count == 4
    assert seen.zeros == 0.5
    assert seen.mean_bits == (1 + 1 + 1 + 2) / 4, "a code without bits takes a cycle too"
    assert (seen.group_bits(16), seen.group_bits(256)) == (2.0, 2.0)
    assert seen.ones == 0.5
    assert seen.toggles == 3 / (3 * 2)
    assert seen.toggles_across == 0.0, "one row has no neighbour"
    with pytest.raises(ValueError, match="group_bits: measured are groups of 16 and 256, got 8"):
        seen.group_bits(8)


counts = st.lists(st.integers(0, 50), min_size=3, max_size=3).filter(any).map(tuple)


@st.composite
def operands(draw):
    pairs = draw(st.integers(0, 40)), draw(st.integers(0, 40))
    along, across = (Toggled(draw(st.integers(0, 2 * n)), n) for n in pairs)
    widths = draw(counts)
    set_bits = draw(st.integers(0, 2 * sum(widths)))
    groups = {"group_widths_16": draw(counts), "group_widths_256": draw(counts)}
    return operand(widths, set_bits=set_bits, along=along, across=across, **groups)


@st.composite
def activities(draw):
    constant = operand(constant=True)
    both = [Operands(draw(operands()), constant) for _ in range(2)]
    return activity(draw(st.integers(1, 9)), fc1=Readings(*both))


@given(one=activities(), two=activities(), three=activities())
def test_parts_join_in_any_order(one, two, three):
    whole = one.joined(two).joined(three)
    assert whole == three.joined(one.joined(two))
    assert whole.images == one.images + two.images + three.images
    of_parts = [part.of("fc1", "centred").a for part in (one, two, three)]
    joined = whole.of("fc1", "centred").a
    assert joined.count == sum(part.count for part in of_parts)
    assert joined.zeros * joined.count == pytest.approx(sum(part.zeros * part.count for part in of_parts))
    assert whole.of("fc1").b == operand(constant=True), "weights are counted once"


@given(written=activities())
def test_a_file_holds_it_all(tmp_path_factory, written):
    path = tmp_path_factory.mktemp("activity") / "a.json"
    written.write(path)
    assert Activity.read(path) == written


def test_the_file_as_others_read_it(tmp_path):
    path = tmp_path / "a.json"
    activity().write(path)
    found = json.loads(path.read_text())
    assert found["format"] == "hwsim activity 1"
    assert (found["graph"], found["images"]) == ("mlp", 2)
    assert found["products"]["fc1"]["raw"]["a"] == {
        "bits": 2,
        "constant": False,
        "set_bits": 2,
        "widths": [2, 1, 1],
        "group_widths_16": [0, 0, 1],
        "group_widths_256": [0, 0, 1],
        "along": [3, 3],
        "across": [0, 0],
    }
    assert len(path.read_text().splitlines()) == 3, "one line per product"


def test_what_belongs_to_other_graphs_is_not_joined():
    both = Operands(operand(), operand(constant=True))
    for other in (activity(graph="other"), activity(fc2=Readings(both, both))):
        with pytest.raises(HwsimError) as error:
            activity().joined(other)
        assert str(error.value) == f"mlp: parts must be of one graph, got {other.graph}; join what belongs together"
    weights = operand((1, 2, 1), constant=True)
    for wrong in (Operands(operand(), weights), Operands(operand(constant=True), operand(constant=True))):
        with pytest.raises(HwsimError) as error:
            activity().joined(activity(fc1=Readings(wrong, both)))
        assert str(error.value) == "fc1: parts must be of one operand, got others; measure them with the same graph"


def test_unknown_products_and_readings():
    with pytest.raises(UnknownName, match=re.escape("product: unknown name, got 'fc'; known, nearest first: fc1")):
        activity().of("fc")
    with pytest.raises(UnknownName, match="reading: unknown name, got 'row'; known, nearest first: raw, centred"):
        activity().of("fc1", "row")


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (('"bits": 2', '"bits": 2.5'), "products.fc1.raw.a.bits: input should be a valid integer, got 2.5"),
        (('"bits": 2', '"bits": true'), "products.fc1.raw.a.bits: input should be a valid integer, got True"),
        (('"bits": 2', '"bits": 0'), "products.fc1.raw.a.bits: input should be greater than or equal to 1, got 0"),
        (('"bits": 2', '"bits": 3'), "products.fc1.raw.a: widths must count widths 0..3, got [2, 1, 1]"),
        (("[2, 1, 1]", "[0, 0, 0]"), "products.fc1.raw.a: widths must count widths 0..2, got [0, 0, 0]"),
        (
            ("[2, 1, 1]", "[2, -1, 1]"),
            "products.fc1.raw.a.widths.1: input should be greater than or equal to 0, got -1",
        ),
        (('"set_bits": 2', '"set_bits": 9'), "products.fc1.raw.a: set_bits must be at most 4 times 2 bits, got 9"),
        (("[3, 3]", "[3, 1]"), "products.fc1.raw.a: along must be at most 1 times 2 bits, got 3"),
        (('"set_bits": 2, ', ""), "products.fc1.raw.a.set_bits: field required"),
        (('"set_bits"', '"sets": 0, "set_bits"'), "products.fc1.raw.a.sets: extra inputs are not permitted, got 0"),
        (('"b":', '"c":'), "products.fc1.raw.b: field required"),
        (('"images": 2', '"images": 0'), "images: input should be greater than or equal to 1, got 0"),
        (('activity 1"', 'activity 2"'), "format must be 'hwsim activity 1', got 'hwsim activity 2'"),
        (('"format": "hwsim activity 1", ', ""), "format must be 'hwsim activity 1', got None"),
    ],
)
def test_a_wrong_file_gets_one_line(tmp_path, wrong, line):
    path = tmp_path / "a.json"
    activity().write(path)
    text = path.read_text()
    assert wrong[0] in text
    path.write_text(text.replace(*wrong, 1))
    with pytest.raises(BadFile) as error:
        Activity.read(path)
    assert str(error.value) == f"{path}: {line}; {MAKE}"


def test_keys_given_twice_and_others_are_refused(tmp_path):
    path = tmp_path / "a.json"
    activity().write(path)
    text = path.read_text()
    for wrong, line in (
        (('"bits": 2', '"bits": 2, "bits": 2'), "must give each key once, got 'bits' twice; leave one out"),
        (("{", "["), None),
        (('"graph"', '"grahp"'), "activity has the keys format, graph, images, products, got 'grahp'; leave it out"),
    ):
        path.write_text(text.replace(*wrong, 1))
        with pytest.raises(BadFile) as error:
            Activity.read(path)
        assert str(error.value).startswith(f"{path}: {line or 'must be JSON, got '}")
        assert len(str(error.value).splitlines()) == 1
    with pytest.raises(BadFile, match="cannot be read as activity, got"):
        Activity.read(tmp_path / "none.json")
    activity(graph="g").model_copy(update={"products": {}}).write(path)
    with pytest.raises(BadFile, match="products: dictionary should have at least 1 item"):
        Activity.read(path)
