"""Wrong keys are answered in one line: the rule, the value, a mend."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, model_validator

from hwsim.accel.reading import AsTuple, Rule, Table, checked, load, parse, shown, written
from hwsim.errors import BadFile


class Inner(Table):
    size: Annotated[int, Field(ge=1, le=9), Rule("an integer from 1 to 9", "3")]
    on: bool = False

    @model_validator(mode="after")
    def _odd(self) -> "Inner":
        if self.on and self.size % 2 == 0:
            raise ValueError(f"size must be odd where on, got {self.size}; add one")
        return self


class Outer(Table):
    rate: Annotated[float, Field(gt=0), Rule("a number above 0", "0.5")]
    start: Annotated[int, Field(alias="from")] = 0
    word: str = ""
    way: Literal["up", "down"] = "up"
    inner: Inner | None = None
    many: Annotated[tuple[Inner, ...], AsTuple] = ()
    by_name: dict[str, Inner] = {}  # noqa: RUF012
    prices: Mapping[str, Annotated[float, Field(ge=0), Rule("a number of 0 or more", "1")]] = {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rat = 1", 'f.toml: rat must be a key of its table, got "rat"; known, nearest first: rate, way, from, '),
        ("", "f.toml: rate must be a number above 0, got nothing; write rate = 0.5"),
        ("rate = 0", "f.toml: rate must be a number above 0, got 0; write rate = 0.5"),
        ("rate = nan", "f.toml: rate must be a number above 0, got nan; write rate = 0.5"),
        ("rate = inf", "f.toml: rate must be a number above 0, got inf; write rate = 0.5"),
        ("rate = true", "f.toml: rate must be a number above 0, got true; write rate = 0.5"),
        ('rate = "1"', 'f.toml: rate must be a number above 0, got "1"; write rate = 0.5'),
        ("rate = 1\nfrom = 1.0", "f.toml: from must be an integer, got 1.0; write from = 1"),
        ("rate = 1\nword = 3", 'f.toml: word must be a text, got 3; write word = "..."'),
        ('rate = 1\nway = "left"', 'f.toml: way must be one of "up", "down", got "left"; write way = "up"'),
        ("rate = 1\ninner = 3", "f.toml: inner must be a table, got 3; write it as [inner]"),
        ("rate = 1\n[inner]\nsize = 10", "f.toml: inner.size must be an integer from 1 to 9, got 10; write size = 3"),
        ("rate = 1\n[inner]\nsize = 1\non = 1", "f.toml: inner.on must be true or false, got 1; write on = true"),
        ("rate = 1\n[inner]\nsize = 2\non = true", "f.toml: inner.size must be odd where on, got 2; add one"),
        (
            "rate = 1\n[[many]]\nsize = 1\n[[many]]\nsize = 0",
            "f.toml: many[1].size must be an integer from 1 to 9, got 0",
        ),
        ("rate = 1\nmany = 3", "f.toml: many must be a list, got 3; write many = []"),
        (
            "rate = 1\n[by_name.x]\nsiz = 1",
            'f.toml: by_name.x.siz must be a key of its table, got "siz"; known, nearest',
        ),
        (
            "rate = 1\n[prices]\nbread = -1",
            "f.toml: prices.bread must be a number of 0 or more, got -1; write bread = 1",
        ),
    ],
)
def test_errors(text: str, told: str) -> None:
    with pytest.raises(BadFile) as error:
        checked(Outer, parse(text, "f.toml"), "f.toml")
    assert str(error.value).startswith(told)
    assert "\n" not in str(error.value)


def test_unknown_keys_come_before_missing_ones() -> None:
    with pytest.raises(BadFile, match="siez must be a key of its table"):
        checked(Inner, {"siez": 1}, "f.toml")


def test_aliases_are_what_is_known() -> None:
    with pytest.raises(BadFile, match=r"form must be a key .* nearest first: from, "):
        checked(Outer, {"form": 1}, "f.toml")


def test_under_a_key() -> None:
    with pytest.raises(
        BadFile, match=r"^f.toml: a\[2\]\.b\.size must be an integer from 1 to 9, got nothing; write size = 3$"
    ):
        checked(Inner, {}, "f.toml", ("a", 2, "b"))


def test_an_integer_may_stand_for_a_number_and_tables_are_frozen() -> None:
    table = checked(Outer, {"rate": 2, "from": 3}, "f.toml")
    assert type(table.rate) is float
    assert (table.rate, table.start) == (2.0, 3)
    with pytest.raises(ValueError, match="frozen"):
        table.rate = 3.0  # type: ignore[misc]


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    with pytest.raises(BadFile) as error:
        load(path, "a machine")
    assert str(error.value) == f"{path}: must be a machine as TOML, got No such file or directory; give another file"
    path.write_bytes(b"\xff")
    with pytest.raises(BadFile, match=r"got bytes that are not UTF-8; give another file$"):
        load(path, "a machine")
    path.write_text("a = 1\na = 2\n")
    with pytest.raises(BadFile, match="must be TOML with each key once, got Cannot overwrite a value "):
        load(path, "a machine")
    path.write_text("[a]\n[a]")
    with pytest.raises(BadFile, match="must be TOML with each key once, got Cannot declare"):
        load(path, "a machine")


def test_values_as_toml_has_them() -> None:
    assert [shown(value) for value in (True, "x", 1.5, {})] == ["true", '"x"', "1.5", "a table"]
    assert len(shown("x" * 100)) == 60
    assert written(("a", 0, "b")) == "a[0].b"
