import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import BadFile
from hwsim.record import Record, read_records, write_records

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
VALUES = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
TAGS = st.dictionaries(TEXT, TEXT, max_size=3).map(lambda tags: tuple(sorted(tags.items())))


@given(records=st.lists(st.builds(Record, TEXT, TEXT, VALUES, TEXT, TEXT, TEXT, TEXT, TAGS), max_size=5))
def test_round_trip(tmp_path_factory, records):
    path = tmp_path_factory.getbasetemp() / "records.jsonl"
    write_records(records, path)
    assert read_records(path) == tuple(records)
    assert path.read_bytes().count(b"\n") == len(records)


def test_one_json_object_per_line(tmp_path):
    record = Record("deit", "macs", 7, "MAC", "blocks.0.fc1", tags=(("bits", "4"), ("label", "ü\u2028")))
    write_records([record], tmp_path / "r")
    assert json.loads((tmp_path / "r").read_text()) == {
        "workload": "deit",
        "metric": "macs",
        "value": 7,
        "unit": "MAC",
        "node": "blocks.0.fc1",
        "accelerator": "",
        "source": "computed",
        "tags": {"bits": "4", "label": "ü\u2028"},
    }
    assert (record.tag("bits"), record.tag("other"), record.tag("other", "-")) == ("4", "", "-")


def test_empty_lines_are_skipped(tmp_path):
    write_records([Record("a", "b", 1, "c")], tmp_path / "r")
    (tmp_path / "r").write_text("\n" + (tmp_path / "r").read_text() + "\n\n")
    assert read_records(tmp_path / "r") == (Record("a", "b", 1, "c"),)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_value_is_finite(value):
    with pytest.raises(ValueError, match=r"^record deit/macs: value must be finite, got (nan|-?inf)$"):
        Record("deit", "macs", value, "MAC")


GOOD = '{"workload": "a", "metric": "b", "value": 1, "unit": "c"}'


@pytest.mark.parametrize(
    ("line", "got"),
    [
        ("{", "Expecting property name enclosed in double quotes"),
        ("[1]", "no JSON object but '[1]'"),
        ("3", "no JSON object but '3'"),
        ('{"workload": "a"}', "no metric, value, unit"),
        (GOOD.replace("unit", "units"), "no unit"),
        (GOOD[:-1] + ', "units": 1}', "the unknown 'units'"),
        (GOOD.replace("1", "NaN"), "record a/b: value must be finite, got nan"),
        (GOOD.replace("1", "1e999"), "record a/b: value must be finite, got inf"),
        (GOOD.replace("1", "null"), "the value None"),
        (GOOD.replace("1", "[1]"), "the value [1]"),
        (GOOD[:-1] + ', "tags": []}', "'list' object has no attribute 'items'"),
        ("[" * 100_000, "maximum recursion depth exceeded"),
    ],
)
def test_a_bad_line_is_named_by_its_number(tmp_path, line, got):
    path = tmp_path / "records.jsonl"
    path.write_text(f"{GOOD}\n\n{line}\n{GOOD}\n")
    with pytest.raises(BadFile) as caught:
        read_records(path)
    text = str(caught.value)
    assert text.startswith(f"{path}:3: is not a record, got {got}")
    assert text.endswith("; write records with `hwsim reproduce`")
    assert "\n" not in text


def test_unreadable_files(tmp_path):
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    for path in (tmp_path / "missing", tmp_path, binary):
        with pytest.raises(BadFile) as caught:
            read_records(path)
        assert str(caught.value).startswith(f"{path}: cannot be read as records, got ")
        assert "\n" not in str(caught.value)
