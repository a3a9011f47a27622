import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.cost.formula import MAX_CHARACTERS, parse
from hwsim.errors import HwsimError

SYMBOLS = ("macs", "a", "w")


@pytest.mark.parametrize(
    "text",
    [
        "macs * w * a",
        "macs * (w * a + w + a + log2(macs))",
        "macs / (floor(8 / max(a, 2)) * floor(8 / max(w, 2)))",
        "macs * 2 ** (max(a, w) - 7)",
        "macs / 64 if a == 1 and w == 1 else macs * max(a, w) / 32",
        "abs(-a) % 3 + ceil(a / w) - min(a, w, 2) // 1",
        "macs if not a < w or a >= 4 else +0.5e3",
        "(a != w) * macs + (a <= w) - (a > w)",
        "\n  macs *\n  a\n",
    ],
)
@given(macs=st.integers(1, 10**12), a=st.integers(1, 32), w=st.integers(1, 32))
def test_values_are_those_of_python(text: str, macs: int, a: int, w: int) -> None:
    values = {"macs": macs, "a": a, "w": w}
    functions = {"log2": math.log2, "floor": math.floor, "ceil": math.ceil, "min": min, "max": max, "abs": abs}
    try:
        wanted = eval(text.strip().replace("\n", " "), {"__builtins__": {}}, {**values, **functions})
    except ZeroDivisionError:
        with pytest.raises(ZeroDivisionError):
            parse(text, SYMBOLS)(values)
    else:
        assert parse(text, SYMBOLS)(values) == wanted


def test_integers_stay_exact() -> None:
    assert parse("macs * w * a", SYMBOLS)({"macs": 2**60 + 1, "w": 3, "a": 5}) == 15 * (2**60 + 1)


def test_powers_are_floats_and_end() -> None:
    with pytest.raises(OverflowError):
        parse("9 ** 9 ** 9 ** 9", ())({})
    with pytest.raises(ValueError, match="math domain error"):
        parse("(0 - 8) ** 0.5", ())({})


def test_text_is_what_it_is() -> None:
    assert str(parse("macs  *\n a", SYMBOLS)) == "macs * a"
    assert parse("macs * a", SYMBOLS) == parse("macs *  a", SYMBOLS) != parse("a * macs", SYMBOLS)


def test_the_deepest_that_is_allowed_has_a_value() -> None:
    assert parse("-" * (MAX_CHARACTERS - 1) + "1", ())({}) == -1
    assert parse("+".join(["1"] * (MAX_CHARACTERS // 2)), ())({}) == MAX_CHARACTERS // 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bits * 2", "formula: unknown symbol, got 'bits' at 1 of 'bits * 2'; known, nearest first: macs, a, w"),
        ("2 * log(a)", "formula: unknown function, got 'log' at 5 of '2 * log(a)'; known, nearest first: "),
        ("macs *", "formula: must be an expression, got 'macs *': invalid syntax, at 7; mend it there"),
        ("", "formula: must be an expression, got '': invalid syntax, at 1; mend it there"),
        ("a; w", "formula: must be an expression, got 'a; w': invalid syntax, at 2; mend it there"),
        ("(a", "formula: must be an expression, got '(a': '(' was never closed, at 1; mend it there"),
        (
            "a + macs.real",
            "formula: takes numbers, symbols, operators and calls, got 'macs.real' at 5 of 'a + macs.real'; leave it out",
        ),
        (
            "macs[0]",
            "formula: takes numbers, symbols, operators and calls, got 'macs[0]' at 1 of 'macs[0]'; leave it out",
        ),
        ("a < w < 3", "formula: takes numbers, symbols, operators and calls, got 'a < w < 3' at 1 of 'a < w < 3'; "),
        ("lambda: 1", "formula: takes numbers, symbols, operators and calls, got 'lambda: 1' at 1 of 'lambda: 1'; "),
        ("'8'", "formula: takes numbers, symbols, operators and calls, got \"'8'\" at 1 of \"'8'\"; leave it out"),
        ("True", "formula: takes numbers, symbols, operators and calls, got 'True' at 1 of 'True'; leave it out"),
        ("a @ w", "formula: takes numbers, symbols, operators and calls, got 'a @ w' at 1 of 'a @ w'; leave it out"),
        ("max(a)", "formula: max takes 2 to 9 arguments, got 1 at 1 of 'max(a)'; mend the call"),
        ("log2(a, 2)", "formula: log2 takes 1 arguments, got 2 at 1 of 'log2(a, 2)'; mend the call"),
        (
            "max(*a, w)",
            "formula: takes numbers, symbols, operators and calls, got '*a' at 5 of 'max(*a, w)'; leave it out",
        ),
        ("__import__('os')", "formula: unknown function, got '__import__' at 1 of "),
        ("a" * 501, "formula: must have at most 500 characters, got 501; shorten it"),
        ("\0", "formula: must be an expression, got '\\x00': source code string cannot contain null bytes, at "),
    ],
)
def test_errors(text: str, message: str) -> None:
    with pytest.raises(HwsimError) as error:
        parse(text, SYMBOLS)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@given(st.text(max_size=30))
def test_any_text_is_a_formula_or_an_error(text: str) -> None:
    with contextlib.suppress(HwsimError):
        assert parse(text, SYMBOLS).text == " ".join(text.split())
