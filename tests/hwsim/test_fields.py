"""Fields are of their declared types, exactly; and no operator of the integer form declares a float."""

from dataclasses import dataclass
from types import NoneType

import numpy as np
import pytest

from hwsim import catalog
from hwsim.fields import _declared, check_fields
from hwsim.op import Op
from hwsim.spec import BipolarSpec, QuantSpec, ShiftSpec

GRID = BipolarSpec((1.0,))
ISLANDS = ("clip", "groupnorm", "layernorm", "rmsnorm")
"""Operators on floats alone that have an attribute which is one."""


@dataclass(frozen=True)
class Sample:
    whole: int = 1
    part: float = 0.5
    flag: bool = True
    text: str = ""
    maybe: int | None = None
    grid: QuantSpec | BipolarSpec = GRID
    many: tuple[int, ...] = ()
    parts: tuple[float, ...] = ()
    pair: tuple[int, int] = (1, 1)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"other": object()},
        {"whole": -(2**70), "part": np.float64(1), "flag": False, "text": "x", "maybe": 3, "grid": GRID},
        {"maybe": None, "many": (1, 2, 3), "parts": (0.5, np.float64(2), float("nan")), "pair": (3, 4)},
    ],
)
def test_legal(values):
    check_fields("sample", Sample, values, "mend it")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("whole", 1.0, "whole must be an integer, got 1.0"),
        ("whole", True, "whole must be an integer, got True"),
        ("whole", np.int64(1), "whole must be an integer, got np.int64(1)"),
        ("whole", None, "whole must be an integer, got None"),
        ("part", 1, "part must be a float, got 1"),
        ("part", np.float32(1), "part must be a float, got np.float32(1.0)"),
        ("flag", 0, "flag must be a bool, got 0"),
        ("flag", np.True_, "flag must be a bool, got np.True_"),
        ("text", 5, "text must be a text, got 5"),
        ("maybe", 1.5, "maybe must be an integer or None, got 1.5"),
        ("maybe", "x" * 1000, "maybe must be an integer or None, got 'xxxxxxxxxxxx...xxxxxxxxxxxxx'"),
        ("grid", None, "grid must be a QuantSpec or a BipolarSpec, got None"),
        ("many", [1, 2], "many must be a tuple of integers, got [1, 2]"),
        ("many", (1, 2, 0.5), "many must be integers, got 0.5 at 2"),
        ("many", (1, False), "many must be integers, got False at 1"),
        ("parts", (0.5, 1), "parts must be floats, got 1 at 1"),
        ("pair", (1, 1, 1), "pair must be a tuple of 2 integers, got (1, 1, 1)"),
        ("pair", (1, "x"), "pair must be 2 integers, got 'x' at 1"),
    ],
)
def test_refused(name, value, text):
    with pytest.raises(ValueError, match=r".") as caught:
        check_fields("sample", Sample, {name: value}, "mend it")
    assert str(caught.value) == f"sample: {text}; mend it"


@pytest.mark.parametrize("name", catalog.names("hwsim.ops"))
def test_every_operator_declares_what_can_be_checked(name):
    """An annotation of another kind would refuse every value; a float in an operator of the integer form is no integer."""
    operator: type[Op] = catalog.find("hwsim.ops", name)
    known = {int, bool, str, float, np.float64, NoneType, QuantSpec, BipolarSpec, ShiftSpec}
    fields = getattr(operator, "__dataclass_fields__", {}) and _declared(operator)
    assert all(wanted <= known for _, wanted, _, _ in fields)
    assert name in ISLANDS or not any(float in wanted for _, wanted, _, _ in fields)
