import dataclasses

import pytest

from hwsim.errors import HwsimError
from workloads.bits import Bits


def test_parse_and_name():
    assert Bits.parse("w4a8") == Bits(4, 8) == Bits.parse("W4A8")
    assert (Bits(4, 8).name, str(Bits(4, 8))) == ("w4a8", "W4A8")
    for w in (1, 2, 3, 4, 5, 6, 7, 8, 32):
        assert Bits.parse(Bits(w, 4).name) == Bits(w, 4)


def test_ends_are_8_unless_all_is_float():
    assert Bits(2, 2).ends == 8
    assert Bits(32, 32).ends == 32
    assert Bits(32, 32).is_float
    assert not Bits(32, 4).is_float
    assert Bits(4, 4, ends=4).ends == 4


@pytest.mark.parametrize("value", [0, 9, 16, 33, -1, True, 4.0, "4"])
def test_out_of_range(value):
    for field in ("weights", "activations", "ends"):
        with pytest.raises(HwsimError, match=rf"^bits: {field} must be 1\.\.8 or 32, got {value}; 32 is float$"):
            dataclasses.replace(Bits(4, 4), **{field: value})


@pytest.mark.parametrize("text", ["", "w4", "4a4", "w4a4x", "w-4a4"])
def test_not_bits(text):
    with pytest.raises(HwsimError, match=r"^bits: must read like w4a4, got"):
        Bits.parse(text)
