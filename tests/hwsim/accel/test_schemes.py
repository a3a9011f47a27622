"""Every scheme: its rate against what its source publishes, and against a count of small multipliers or bits by hand."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim import catalog
from hwsim.accel import scheme
from hwsim.accel.scheme import Operand, Packing, Scheme
from hwsim.accel.schemes.dsp_packing import DspPacking, Pack
from hwsim.accel.schemes.fixed import Fixed
from hwsim.accel.schemes.row_column_fusion import RowColumnFusion
from hwsim.accel.schemes.serial_activations import SerialActivations
from hwsim.accel.schemes.serial_both import SerialBoth
from hwsim.accel.schemes.spatial_fusion import SpatialFusion

WIDTHS = st.integers(1, 31)
SCHEMES = st.one_of(
    st.builds(Fixed, bits=st.integers(1, 32)),
    st.tuples(st.integers(1, 32), st.integers(1, 32)).map(
        lambda two: SpatialFusion(min_bits=min(two), max_bits=max(two))
    ),
    st.tuples(st.integers(1, 32), st.integers(1, 32)).map(
        lambda two: RowColumnFusion(min_bits=min(two), max_bits=max(two))
    ),
    st.builds(SerialActivations, lanes=st.integers(1, 64), weight_bits=st.integers(1, 32)),
    st.builds(SerialBoth, lanes=st.integers(1, 512)),
    st.just(DspPacking()),
)


@pytest.mark.parametrize("name", scheme.names())
def test_each_file_defines_a_scheme_that_says_what_it_does_and_of_what(name: str) -> None:
    kind = catalog.find(scheme.SCHEMES, name)
    made = kind()
    assert issubclass(kind, Scheme)
    assert made.name == name
    assert __import__(kind.__module__, fromlist=[""]).__doc__.startswith(f"{name}: ")
    assert made.unit.bits >= 1
    assert scheme.read({"scheme": name, **made.model_dump()}, "m") == made


@given(SCHEMES, WIDTHS, WIDTHS)
def test_narrower_operands_are_never_slower(machine: Scheme, a: int, b: int) -> None:
    here = machine.peak(a, b)
    assert here > 0
    assert machine.peak(max(1, a - 1), b) >= here
    assert machine.peak(a, max(1, b - 1)) >= here


@given(SCHEMES, WIDTHS, WIDTHS)
def test_the_peak_is_what_the_packing_says(machine: Scheme, a: int, b: int) -> None:
    packed = machine.packing(Operand(a), Operand(b))
    assert machine.peak(a, b) == packed.m * packed.k * packed.n / packed.passes


def test_bit_fusion_by_its_table() -> None:  # ISCA 2018: 8x8 1, 8x4 2, 4x4 4, 8x2 4, 4x2 8, 2x2 16
    peak = SpatialFusion().peak
    table = {(8, 8): 1, (8, 4): 2, (4, 8): 2, (4, 4): 4, (8, 2): 4, (4, 2): 8, (2, 4): 8, (2, 2): 16}
    assert {pair: peak(*pair) for pair in table} == table
    assert [peak(bits, bits) for bits in (1, 3, 5, 6, 7)] == [16, 4, 1, 1, 1]
    assert peak(16, 16) == 1 / 4
    assert SpatialFusion().packing(Operand(4), Operand(2)) == Packing(1, 8, 1, 1.0)


def test_bit_fusion_by_its_bricks() -> None:
    """A unit has 16 bricks of 2 x 2 bits; a product of 2, 4 or 8 bits takes as many as cover its partial products."""
    covered = {1: 2, 2: 2, 3: 4, 4: 4, 5: 8, 6: 8, 7: 8, 8: 8}
    for a, b in itertools.product(covered, repeat=2):
        bricks = (covered[a] // 2) * (covered[b] // 2)
        assert SpatialFusion().peak(a, b) == 16 // bricks


def test_ant_by_its_factors() -> None:  # its simulator: rows x 8/a, columns x 8/w, on PEs of 4 bits
    for a, b in itertools.product((4, 8), repeat=2):
        assert RowColumnFusion().packing(Operand(a), Operand(b)) == Packing(8 // a, 1, 8 // b, 1.0)
    assert RowColumnFusion().peak(2, 2) == RowColumnFusion().peak(3, 4) == 4


@pytest.mark.parametrize("bits", range(1, 17))
def test_stripes_is_16_over_the_bits_of_activations(bits: int) -> None:
    assert SerialActivations().peak(bits, 16) == 16 / bits
    assert SerialActivations().peak(bits, 1) == 16 / bits
    assert SerialActivations().peak(bits, 17) == 8 / bits


@pytest.mark.parametrize(("a", "b"), [(1, 1), (2, 3), (4, 4), (8, 5), (16, 16)])
def test_loom_is_256_over_the_product_of_the_bits(a: int, b: int) -> None:
    assert SerialBoth().peak(a, b) == 256 / (a * b)


def test_bismo_by_its_binary_rate() -> None:  # 15.4 binary TOPS: 0.96 at 4 x 4 bits, 3.9 at 2 x 2
    rates = [15.4 * SerialBoth(lanes=64).peak(bits, bits) / 64 for bits in (4, 2)]
    assert rates == pytest.approx([0.96, 3.9], abs=0.06)


def test_bits_that_are_streamed() -> None:
    assert SerialActivations().packing(Operand(8, 3.25), Operand(8, 2.0)).passes == 3.25
    assert SerialBoth().packing(Operand(8, 3.0), Operand(8, 2.5)).passes == 7.5


@pytest.mark.parametrize(("a", "b", "macs"), [(8, 8, 2), (4, 4, 4), (3, 2, 4), (4, 8, 2), (9, 8, 1), (18, 18, 1)])
def test_dsps_pack_as_the_white_papers_say(a: int, b: int, macs: int) -> None:
    assert DspPacking().peak(a, b) == macs


def test_dsps_take_passes_beyond_their_width() -> None:
    assert DspPacking().peak(28, 18) == 1 / 2
    assert DspPacking().peak(28, 19) == 1 / 4


def test_of_several_packs_the_best_that_holds_both() -> None:
    machine = DspPacking(
        packs=(Pack(a_bits=8, b_bits=4, m=3), Pack(a_bits=8, b_bits=8, n=2), Pack(a_bits=2, b_bits=2, k=6))
    )
    assert [machine.peak(*bits) for bits in ((8, 8), (8, 4), (4, 8), (2, 2))] == [2, 3, 2, 6]


@pytest.mark.parametrize(("a", "b", "cycles"), [(1, 1, 1), (8, 8, 1), (9, 8, 2), (16, 16, 4), (24, 9, 6)])
def test_fixed_pes_take_passes(a: int, b: int, cycles: int) -> None:
    assert Fixed(bits=8).packing(Operand(a), Operand(b)) == Packing(1, 1, 1, cycles)
