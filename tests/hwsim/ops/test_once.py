import pytest

from hwsim.ops import _once
from hwsim.ops._once import once


def test_the_same_objects_are_asked_once():
    calls = []

    @once
    def both(a, b, times):
        calls.append((a, b))
        return [a, b] * times

    first, equal = (1, 2), (*[1], 2)
    assert both(first, "b", 2) is both(first, "b", 2)
    assert both(first, "b", 1) == [first, "b"]
    assert both(equal, "b", 2) == [equal, "b", equal, "b"]
    assert len(calls) == 3, "equal is not the same"


def test_what_is_kept_is_bounded():
    calls = []

    @once
    def asked(value):
        calls.append(value)

    values = [[i] for i in range(_once.KEPT + 1)]
    for value in (*values, values[0], values[-1]):
        asked(value)
    assert len(calls) == _once.KEPT + 2


def test_what_fails_is_asked_again():
    calls = []

    @once
    def fails(value):
        calls.append(value)
        raise ValueError("no")

    value = []
    for _ in range(2):
        with pytest.raises(ValueError, match=r"^no$"):
            fails(value)
    assert len(calls) == 2
