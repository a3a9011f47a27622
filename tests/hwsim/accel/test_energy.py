"""Tables against the constants as their sources print them, against Bit Fusion's own simulator, and by the rules."""

import csv
import math
import re
from pathlib import Path

import numpy as np
import pytest

from hwsim.accel import energy
from hwsim.accel.scheme import Operand
from hwsim.accel.schemes.dsp_packing import DspPacking
from hwsim.accel.schemes.fixed import Fixed
from hwsim.accel.schemes.row_column_fusion import RowColumnFusion
from hwsim.accel.schemes.serial_activations import SerialActivations
from hwsim.accel.schemes.serial_both import SerialBoth
from hwsim.accel.schemes.spatial_fusion import SpatialFusion
from hwsim.errors import HwsimError

DATA = Path(__file__).parents[2] / "data"
TABLES = energy.names()
SCHEMES = (Fixed(), Fixed(bits=16), SpatialFusion(), RowColumnFusion(), SerialActivations(), SerialBoth(), DspPacking())
FLOAT = Fixed(bits=32)


def rows(name):
    with (DATA / name).open() as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


PRINTED = {(row["source"], row["item"], row["bits"]): row for row in rows("energy_tables.csv")}
SYNTHESIS, BF_E = "Bit Fusion synthesis table", "Bit Fusion config bf_e (CACTI 45 nm)"
HOROWITZ, ALADDIN = "Horowitz 2014 (recalled)", "Aladdin plug-in of Accelergy"
EYERISS = "Accelergy+Timeloop eyeriss_like reference output"

# table, item and place in it; source, item and bits in the printed constants; the word in the note that the figure follows
CLAIMED = [
    *(
        (
            "bit_fusion_45nm",
            item,
            f"{bits} bits",
            SYNTHESIS,
            f"fixed MAC PE {bits}x{bits}-bit in 4x4 array",
            f"{bits}",
            word,
        )
        for bits in (2, 4, 8, 16)
        for item, word in (("energy.mac", ""), ("area.mac", "area"))
    ),
    *(
        (
            "bit_fusion_45nm",
            item,
            f"{bits} bits",
            SYNTHESIS,
            f"fusion unit {bits}b max 2b min in 4x4 array",
            f"{bits}..2",
            word,
        )
        for bits in (4, 8, 16)
        for item, word in (("energy.fusion", ""), ("area.fusion", "area"))
    ),
    ("bit_fusion_45nm", "leak.mac", "2 bits", SYNTHESIS, "fixed MAC PE 2x2-bit in 4x4 array", "2", "leakage"),
    ("bit_fusion_45nm", "leak.mac", "8 bits", SYNTHESIS, "fixed MAC PE 8x8-bit in 4x4 array", "8", "leakage"),
    (
        "bit_fusion_45nm",
        "leak.fusion",
        "8 bits",
        SYNTHESIS,
        "fusion unit 8b max 2b min in 4x4 array",
        "8..2",
        "leakage",
    ),
    *(
        ("bit_fusion_45nm", f"sram.{of}", f"{kib} KiB, 32 bits", BF_E, item, "1", word)
        for kib, item in (
            ("0.125", "WBUF 64 KB / 512 banks read"),
            ("2", "IBUF 32 KB / 16 banks read"),
            ("0.5", "OBUF 16 KB / 32 banks read"),
        )
        for of, word in (("read", ""), ("write", "write"))
    ),
    ("bit_fusion_45nm", "dram.read", "1 bits", "Bit Fusion stats module", "DRAM", "1", ""),
    ("bit_fusion_45nm", "dram.write", "1 bits", "Bit Fusion stats module", "DRAM", "1", ""),
    *(
        ("horowitz_45nm", f"energy.{item}", f"{bits} bits", HOROWITZ, name, f"{bits}", "")
        for item, name, widths in (
            ("add", "integer add", (8, 32)),
            ("multiply", "integer multiply", (8, 32)),
            ("float_add", "float add", (16, 32)),
            ("float_multiply", "float multiply", (16, 32)),
        )
        for bits in widths
    ),
    *(
        ("horowitz_45nm", "sram.read", f"{kib} KiB, 64 bits", HOROWITZ, f"SRAM {size} read", "64", "")
        for kib, size in (("8", "8 KB"), ("32", "32 KB"), ("1024", "1 MB"))
    ),
    ("accelergy_aladdin_40nm", "energy.add", "32 bits", ALADDIN, "integer adder 1 ns", "32", ""),
    ("accelergy_aladdin_40nm", "area.add", "32 bits", ALADDIN, "integer adder 1 ns", "32", "area"),
    ("accelergy_aladdin_40nm", "energy.multiply", "32 bits", ALADDIN, "integer multiplier 1 ns", "32", ""),
    ("accelergy_aladdin_40nm", "area.multiply", "32 bits", ALADDIN, "integer multiplier 1 ns", "32", "area"),
    ("accelergy_aladdin_40nm", "energy.registers", "1 bits", ALADDIN, "register bit 1 ns", "1", ""),
    ("timeloop_eyeriss_65nm", "energy.mac", "8 bits", EYERISS, "MAC 8-bit multiply 16-bit add", "8", ""),
    ("timeloop_eyeriss_65nm", "leak.mac", "8 bits", EYERISS, "MAC 8-bit multiply 16-bit add", "8", "leak"),
    ("timeloop_eyeriss_65nm", "energy.registers", "16 bits", EYERISS, "ifmap spad read", "n/a", ""),
    ("timeloop_eyeriss_65nm", "sram.read", "128 KiB, 64 bits", EYERISS, "shared global buffer read", "64", ""),
    ("timeloop_eyeriss_65nm", "sram.write", "128 KiB, 64 bits", EYERISS, "shared global buffer read", "64", "write"),
    ("timeloop_eyeriss_65nm", "dram.read", "64 bits", EYERISS, "DRAM", "64", ""),
    ("zigzag_tpu", "energy.mac", "8 bits", "ZigZag tpu_like", "MAC", "any", ""),
    ("zigzag_tpu", "dram.read", "64 bits", "ZigZag tpu_like", "DRAM read", "64", ""),
    ("zigzag_tpu", "dram.write", "64 bits", "ZigZag tpu_like", "DRAM read", "64", "write"),
    ("zigzag_lpddr5", "dram.read", "512 bits", "ZigZag gemm_l1_l3", "LPDDR5 read", "512", ""),
    ("zigzag_lpddr5", "dram.write", "512 bits", "ZigZag gemm_l1_l3", "LPDDR5 read", "512", "write"),
    ("maestro", "energy.mac", "8 bits", "MAESTRO cost database", "MAC", "n/a", ""),
    ("maestro", "area.mac", "8 bits", "MAESTRO cost database", "MAC", "n/a", "area"),
]


@pytest.mark.parametrize(("table", "item", "of", "source", "name", "bits", "word"), CLAIMED)
def test_constants_are_those_of_their_source(table, item, of, source, name, bits, word):
    row = PRINTED[source, name, bits]
    printed = re.search(rf"\b{word} (\d[\d.]*\d|\d)", row["note"])[1] if word else row["energy_pJ"]
    found = [entry for entry in energy.find(table).constants() if (entry.item, entry.of) == (item, of)]
    words = 32 if source == BF_E else 1  # its table is per word, the file per bit, to three decimals
    assert [entry.value / words for entry in found] == pytest.approx([float(printed)], abs=5e-4 if words > 1 else 0)
    assert not found[0].borrowed
    assert found[0].status == ("recalled" if "recalled" in source else "printed")


def test_every_printed_figure_of_its_own_is_checked_or_said_to_be_from_elsewhere():
    """What is not in the file of printed constants was read in the source itself: its registers, SRAM and leakage."""
    checked = {(table, item, of) for table, item, of, *_ in CLAIMED}
    rest = {
        (table, entry.item)
        for table in TABLES
        for entry in energy.find(table).constants()
        if entry.status == "printed" and not entry.borrowed and (table, entry.item, entry.of) not in checked
    }
    assert rest == {
        ("accelergy_aladdin_40nm", "leak.multiply"),
        ("accelergy_aladdin_40nm", "leak.add"),
        ("timeloop_eyeriss_65nm", "dram.write"),
        *(("zigzag_tpu", item) for item in ("energy.registers", "sram.read", "sram.write")),
        *(("zigzag_lpddr5", item) for item in ("energy.mac", "energy.registers", "sram.read", "sram.write")),
    }


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_aladdins_mac_is_what_the_tool_puts_out(bits):
    row = PRINTED["Aladdin plug-in of Accelergy (derived)", "integer MAC 1 ns", str(bits)]
    table, scheme = energy.find("accelergy_aladdin_40nm"), Fixed(bits=bits)
    assert table.mac(scheme, bits, bits) == pytest.approx(float(row["energy_pJ"]), rel=2e-3)
    assert table.area_um2(scheme) == pytest.approx(float(re.search(r"area (\S+)", row["note"])[1]), rel=2e-3)


def test_horowitz_dram_is_the_middle_of_its_range_and_eyeriss_keeps_its_ratios():
    low, high = PRINTED[HOROWITZ, "DRAM read", "64"]["energy_pJ"].split("-")
    assert energy.find("horowitz_45nm").dram_read * 64 == (float(low) + float(high)) / 2
    source = "Eyeriss ratios (recalled)"
    (row,) = (row for key, row in PRINTED.items() if key[0] == source)
    table = energy.find("eyeriss_ratios_65nm")
    mac = table.mac(Fixed(bits=16), 16, 16)
    found = [table.energy.at("registers", 16) / mac, 16 * table.sram_read(108) / mac, 16 * table.dram_read / mac]
    printed = [float(part) for part in row["energy_pJ"].split(" : ")]
    np.testing.assert_allclose(found, [printed[0], printed[2], printed[3]], rtol=1e-12)
    assert mac == 4 * energy.find("timeloop_eyeriss_65nm").mac(Fixed(), 8, 8)


@pytest.mark.parametrize("row", rows("bitfusion_deit_tiny.csv"), ids=lambda row: f"{row['layer']}-{row['act_bits']}")
def test_bit_fusions_own_simulator(row):
    """512 units are paid for in every compute cycle; how much of what DRAM sends goes into which buffer is not printed."""
    table, scheme = energy.find("bit_fusion_45nm"), SpatialFusion()
    bits = int(row["act_bits"]), int(row["wgt_bits"])
    macs = 512 * int(row["compute_cycles"]) * scheme.peak(*bits)
    assert table.mac(scheme, *bits) * macs / 1000 == pytest.approx(float(row["E_core_nJ"]), rel=5e-4)
    read, written = int(row["dram_reads_bits"]), int(row["dram_writes_bits"])
    assert (read * table.dram_read + written * table.dram_write) / 1000 == pytest.approx(
        float(row["E_dram_nJ"]), abs=0.1
    )
    buffers = (("ibuf_reads_bits", table.sram_read(32, 16)), ("wbuf_reads_bits", table.sram_read(64, 512)))
    outputs = (("obuf_reads_bits", table.sram_read(16, 32)), ("obuf_writes_bits", table.sram_write(16, 32)))
    moved = sum(int(row[name]) * pj for name, pj in (*buffers, *outputs)) / 1000
    filled = float(row["E_sram_nJ"]) - moved
    assert 0 < filled < read * table.sram_write(32, 16) / 1000


def test_a_fixed_unit_costs_what_it_costs_and_wider_operands_take_passes():
    table = energy.find("bit_fusion_45nm")
    assert {table.mac(Fixed(), a, b) for a in (1, 2, 5, 8) for b in (3, 8)} == {0.2034}
    assert table.mac(Fixed(), 16, 9) == 4 * 0.2034
    assert table.mac(Fixed(bits=4), 8, 4) == 2 * 0.0824


def test_a_fusion_unit_is_shared_by_its_products():
    table = energy.find("bit_fusion_45nm")
    found = [table.mac(SpatialFusion(), *bits) for bits in ((8, 8), (8, 4), (4, 4), (3, 3), (2, 2))]
    assert found == [0.4592, 0.4592 / 2, 0.4592 / 4, 0.4592 / 4, 0.4592 / 16]
    assert table.mac(RowColumnFusion(), 4, 4) == 0.4592 / 4
    for name in TABLES:  # a borrowed ratio stays a ratio
        lent = energy.find(name)
        assert lent.mac(SpatialFusion(), 8, 8) / lent.mac(Fixed(), 8, 8) == pytest.approx(0.4592 / 0.2034)


def test_a_serial_lane_costs_what_it_streams():
    table = energy.find("bit_fusion_45nm")
    whole = 0.6027 * 1.92 / 1.57
    for lanes in (1, 16, 256):
        scheme = SerialActivations(lanes=lanes)
        assert table.mac(scheme, 16, 16) == pytest.approx(whole)
        assert table.mac(scheme, 3, 8) == pytest.approx(whole * 3 / 16)
        assert table.mac(scheme, Operand(8, taken=2.5), 8) == pytest.approx(whole * 2.5 / 16)
    assert table.mac(SerialBoth(), 3, 5) == pytest.approx(whole * 15 / 256)
    assert table.area_um2(SerialActivations()) == pytest.approx(1679.4 * 1.32)
    assert table.area_um2(SerialBoth()) == pytest.approx(1679.4 * 1.32)
    assert table.area_um2(SerialActivations(lanes=32)) == pytest.approx(2 * 1679.4 * 1.32)


def test_a_dsp_is_shared_by_what_is_packed_into_it():
    table = energy.find("accelergy_aladdin_40nm")
    whole = 12.68 * 27 * 18 / 32**2 + 0.21 * math.sqrt(27 * 18) / 32
    assert [table.mac(DspPacking(), bits, bits) * share for bits, share in ((18, 1), (8, 2), (4, 4))] == pytest.approx(
        [whole] * 3
    )


def test_floats():
    assert energy.find("horowitz_45nm").mac(FLOAT, 32, 32) == 3.7 + 0.9
    for name in TABLES:  # the others borrow it in proportion to their MACs of 8 bits
        table = energy.find(name)
        assert table.mac(FLOAT, 32, 32) == pytest.approx(4.6 * table.mac(Fixed(), 8, 8) / 0.3)
    with pytest.raises(HwsimError, match="operands must have"):
        energy.find("horowitz_45nm").mac(Fixed(), 32, 32)


@pytest.mark.parametrize("name", TABLES)
def test_wider_costs_no_less(name):
    table = energy.find(name)
    for scheme in SCHEMES:
        grid = [[table.mac(scheme, a, b) for b in range(1, 17)] for a in range(1, 17)]
        assert np.min(grid) > 0
        assert np.all(np.diff(grid, axis=0) >= -1e-15)
        assert np.all(np.diff(grid, axis=1) >= -1e-15)
    assert table.mac(FLOAT, 32, 32) > table.mac(Fixed(), 8, 8)
    assert table.area_um2(FLOAT) > table.area_um2(Fixed())
    assert table.dram_read * 8 > float(table.sram_read(32)) * 8 > 0


@pytest.mark.parametrize("name", TABLES)
def test_memories_take_arrays_of_sizes(name):
    table = energy.find(name)
    kib = np.geomspace(0.01, 1e5, 50).reshape(5, 10)
    for price in (table.sram_read, table.sram_write):
        found = price(kib)
        assert found.shape == kib.shape
        assert np.all(np.diff(found.ravel()) >= 0)
        np.testing.assert_allclose(found, [[float(price(one)) for one in row] for row in kib], rtol=1e-12)
        np.testing.assert_array_equal(price(64, np.array([1, 4])), [float(price(64)), float(price(16))])


def test_sizes_between_and_beyond_what_is_listed():
    table = energy.find("horowitz_45nm")
    np.testing.assert_allclose(table.sram_read([2, 8, 16, 32, 4096]) * 64, [5, 10, 10 * 2**0.5, 20, 200])
    constant = energy.find("timeloop_eyeriss_65nm")
    np.testing.assert_array_equal(constant.sram_read([1, 128, 9999]), [18.18 / 64] * 3)


def test_two_sources_agree_on_a_bank():
    """CACTI's banks of Bit Fusion, and Horowitz's caches carried to their size by the root rule: within 40 %."""
    ours, theirs = energy.find("bit_fusion_45nm"), energy.find("horowitz_45nm")
    kib = np.array([0.125, 0.5, 2])
    np.testing.assert_allclose(theirs.sram_read(kib) / ours.sram_read(kib), 1, atol=0.4)


def test_the_spread():
    macs = {name: energy.find(name).mac(Fixed(), 8, 8) for name in TABLES}
    assert max(macs, key=macs.get) == "accelergy_aladdin_40nm"
    assert min(macs.values()) == macs["zigzag_tpu"] == 0.04
    assert 20 < max(macs.values()) / min(macs.values()) < 22
    drams = [energy.find(name).dram_read for name in TABLES]
    assert (min(drams), max(drams)) == (8, 31.25)


def test_leakage_follows_the_clock():
    table = energy.find("bit_fusion_45nm")
    assert table.leakage(Fixed()) == 0.0322
    assert table.leakage(SpatialFusion()) == 0.1187
    np.testing.assert_allclose(table.leakage(Fixed(), np.array([250, 1000])), [0.0644, 0.0161])
    assert table.leakage(FLOAT) == pytest.approx(0.0322 * 11884 / 510.7)  # in proportion to area
    assert table.leakage(SerialActivations()) == pytest.approx(float(table.leakage(Fixed(bits=16))) * 1.32)
    none = energy.find("zigzag_tpu")
    assert none.leak is None
    np.testing.assert_array_equal(none.leakage(Fixed(), np.array([100, 200])), [0, 0])


def test_activity():
    table = energy.find("bit_fusion_45nm")
    assert table.mac(Fixed(), 8, 8, toggles=0.25) == 0.2034 / 2
    assert table.mac(Fixed(), 8, 8, gated=0.25) == pytest.approx(0.2034 * 0.75)
    skipping = Fixed(skips="activations")
    assert table.mac(skipping, Operand(8, zeros=0.5), 8) == 0.2034 / 2
    for name in ("toggles", "gated"):
        with pytest.raises(HwsimError) as caught:
            table.mac(Fixed(), 8, 8, **{name: 1.5})
        assert str(caught.value) == f"mac: {name} must be between 0 and 1, got 1.5; it is a fraction"


@pytest.mark.parametrize("name", TABLES)
def test_every_constant_says_where_it_is_from(name):
    table = energy.find(name)
    assert table.name == name
    assert table.about
    assert table.source
    assert f"_{table.node_nm:g}nm" in name if table.node_nm else not name.endswith("nm")
    for entry in table.constants():
        assert entry.source
        assert entry.borrowed in ("", *TABLES)
        assert entry.borrowed != name
