"""JSON objects from files: what is wrong is said in one line."""

import pytest

from hwsim.accel.strict_json import read_object
from hwsim.errors import BadFile


def read(path):
    return read_object(path, "a bits file", ("about", "bits"), "make one")


def test_an_object_is_read_as_it_is(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"bits": {"b": [1, 2], "a": {}}, "about": "é"}', encoding="utf-8")
    assert read(path) == {"bits": {"b": [1, 2], "a": {}}, "about": "é"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[1]", "must be a bits file, a JSON object, got list; make one"),
        (b'{"bits": 1, "bits": 2}', "must give each key once, got 'bits' twice; leave one out"),
        (b'{"bits": {"a": 1, "a": 1}}', "must give each key once, got 'a' twice; leave one out"),
        (b'{"bit": 1}', "a bits file has the keys about, bits, got 'bit'; leave it out"),
        (
            b"{",
            "must be JSON, got Expecting property name enclosed in double quotes: line 1 column 2 (char 1); make one",
        ),
        (b"\xff", "cannot be read as a bits file, got 'utf-8' codec can't decode byte 0xff in position 0: "),
        (b"[" * 100_000, "cannot be read as a bits file, got "),
    ],
)
def test_what_is_wrong_is_one_line(text, message, tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(text)
    with pytest.raises(BadFile) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(BadFile, match=r"x\.json: cannot be read as a bits file, got .*No such file"):
        read(tmp_path / "x.json")
