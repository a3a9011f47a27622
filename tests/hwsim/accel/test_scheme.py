"""What every scheme shares: operands, zeros, the choice in a file."""

import pytest

from hwsim.accel import scheme
from hwsim.accel.scheme import Operand, Packing
from hwsim.accel.schemes.fixed import Fixed
from hwsim.accel.schemes.serial_both import SerialBoth
from hwsim.errors import BadFile, HwsimError


def test_an_operand_streams_all_its_bits_unless_it_is_said() -> None:
    assert (Operand(5).taken, Operand(5, 0.0).taken, Operand(5, 2.5).taken) == (5.0, 0.0, 2.5)


@pytest.mark.parametrize(("skips", "kept"), [("none", 1.0), ("activations", 0.75), ("weights", 0.5), ("both", 0.375)])
def test_zeros_that_are_skipped_cost_nothing(skips: str, kept: float) -> None:
    machine = scheme.read({"scheme": "fixed", "skips": skips}, "m")
    assert machine.packing(Operand(8, zeros=0.25), Operand(8, zeros=0.5)) == Packing(1, 1, 1, kept)
    assert machine.peak(8, 8) == 1


def test_zeros_and_streamed_bits_multiply() -> None:
    assert SerialBoth(lanes=16, skips="both").packing(Operand(4, 2.0, 0.5), Operand(4, 3.0)).passes == 2 * 3 * 0.5


@pytest.mark.parametrize("name", [name for name in scheme.names() if name != "fixed"])
def test_floats_are_refused(name: str) -> None:
    with pytest.raises(HwsimError) as error:
        scheme.read({"scheme": name}, "m").peak(32, 8)
    assert str(error.value) == (
        f"precision {name}: operands must have 1 to 31 bits, got 32; "
        'quantize them, or take scheme = "fixed" with bits = 32'
    )


def test_floats_need_pes_of_32_bits() -> None:
    with pytest.raises(HwsimError, match=r"^precision fixed: operands must have 1 to 31 bits, got 32; "):
        Fixed(bits=8).peak(8, 32)
    assert Fixed(bits=32).peak(32, 32) == Fixed(bits=32).peak(8, 32) == 1


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (None, 'm: precision must be a table, got nothing; write [precision] with scheme = "fixed"'),
        (8, 'm: precision must be a table, got 8; write [precision] with scheme = "fixed"'),
        ({"bits": 8}, 'm: precision.scheme must be a text, got nothing; write scheme = "fixed"'),
        ({"scheme": 8}, 'm: precision.scheme must be a text, got 8; write scheme = "fixed"'),
        ({"scheme": "fixd"}, 'm: precision.scheme must be one of "fixed", '),
        ({"scheme": "_widths"}, "m: precision.scheme must be one of "),
        (
            {"scheme": "fixed", "bit": 8},
            'm: precision.bit must be a key of its table, got "bit"; known, nearest first: bits, ',
        ),
        (
            {"scheme": "fixed", "bits": 0},
            "m: precision.bits must be an integer from 1 to 32 (bits), got 0; write bits = 8",
        ),
        ({"scheme": "serial_both", "lanes": 1.5}, "m: precision.lanes must be an integer from 1 to 65536 (operands"),
        (
            {"scheme": "spatial_fusion", "min_bits": 16},
            "m: precision.min_bits must be at most max_bits, got 16 above 8; lower it",
        ),
        (
            {"scheme": "dsp_packing", "packs": [{"a_bits": 8}]},
            "m: precision.packs[0].b_bits must be an integer from 1 to 32 (bits), got nothing; write b_bits = 8",
        ),
        (
            {"scheme": "fixed", "skips": "zeros"},
            'm: precision.skips must be one of "none", "activations", "weights", "both", got "zeros"; write skips = "none"',
        ),
    ],
)
def test_errors_of_files(values: object, told: str) -> None:
    with pytest.raises(BadFile) as error:
        scheme.read(values, "m")
    assert str(error.value).startswith(told)
