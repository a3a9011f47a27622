"""docs/energy.md: its tables are the shipped ones, and its file runs."""

import re
from pathlib import Path

import pytest

from hwsim.accel import energy
from hwsim.accel.schemes.fixed import Fixed
from hwsim.accel.schemes.serial_activations import SerialActivations
from hwsim.accel.schemes.spatial_fusion import SpatialFusion

DOCUMENT = (Path(__file__).parents[3] / "docs" / "energy.md").read_text()


def spread(name):
    table = energy.find(name)
    leakage = float(table.leakage(Fixed()))
    figures = (
        table.mac(Fixed(), 8, 8),
        table.mac(SpatialFusion(), 2, 2),
        table.mac(SerialActivations(), 4, 4),
        table.mac(Fixed(bits=32), 32, 32),
        float(table.sram_read(32)),
    )
    dram = " / ".join(f"{one:.3g}" for one in dict.fromkeys((table.dram_read, table.dram_write)))
    rest = (dram, f"{table.area_um2(Fixed()):.0f}", f"{leakage:.3g}" if leakage else "")
    return f"| `{name}` | {' | '.join(f'{one:.3g}' for one in figures)} | {' | '.join(rest)} |"


def constants(name):
    table = energy.find(name)
    yield f"### {name}"
    yield f"{table.about}. Source: {table.source}."
    yield "| item | of | value | unit | status | source |"
    yield "|---|---|---:|---|---|---|"
    lent = {}
    for entry in table.constants():
        if entry.borrowed:
            lent.setdefault(entry.borrowed, {})[entry.item] = None
        else:
            yield f"| {entry.item} | {entry.of} | {entry.value:g} | {entry.unit} | {entry.status} | {entry.source} |"
    if lent:
        yield "Borrowed: " + "; ".join(f"{', '.join(items)} from `{lender}`" for lender, items in lent.items()) + "."


@pytest.mark.parametrize("name", energy.names())
def test_its_tables_are_the_shipped_ones(name):
    lines = DOCUMENT.splitlines()
    assert spread(name) in lines
    for line in constants(name):
        assert line in lines


def test_it_lists_no_others():
    assert re.findall(r"^### (\w+)", DOCUMENT, re.MULTILINE) == list(energy.names())


def test_its_file_runs(tmp_path):
    (text,) = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)
    path = tmp_path / "mine.toml"
    path.write_text(text)
    table = energy.find(path)
    assert table.mac(Fixed(), 8, 8) == 0.09
    assert float(table.sram_read(128)) == 2 * 9.1 / 128


@pytest.mark.parametrize("name", energy.names())
def test_its_ratios_of_borrowed_units(name):
    table = energy.find(name)
    fused, floats = (table.mac(scheme, bits, bits) for scheme, bits in ((SpatialFusion(), 8), (Fixed(bits=32), 32)))
    mac = table.mac(Fixed(), 8, 8)
    said = f"a fusion unit is {fused / mac:.2f} MACs and a float MAC {floats / mac:.1f} MACs in every table"
    assert said in " ".join(DOCUMENT.split())
