"""A user's own table: what it may borrow, and the one line that answers each mistake."""

import tomllib
from importlib import resources

import numpy as np
import pytest

from hwsim.accel import energy
from hwsim.accel.schemes.fixed import Fixed
from hwsim.accel.schemes.spatial_fusion import SpatialFusion
from hwsim.errors import BadFile, UnknownName

POINT = '{ bits = 8, value = 0.1, status = "measured", source = "ours" }'
MINE = f"""
about = "ours"
node_nm = 22

[energy]
multiply = {{ borrow = "horowitz_45nm" }}
add = {{ borrow = "horowitz_45nm" }}
float_multiply = {{ borrow = "horowitz_45nm" }}
float_add = {{ borrow = "horowitz_45nm" }}
fusion = {{ borrow = "bit_fusion_45nm" }}
registers = {{ borrow = "accelergy_aladdin_40nm" }}

[energy.mac]
exponent = 2
points = [{POINT}]

[sram]
borrow = "bit_fusion_45nm"

[dram]
read = {{ borrow = "zigzag_tpu" }}
write = {{ borrow = "zigzag_tpu" }}

[area]
borrow = "horowitz_45nm"
"""


def written(folder, text):
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_units_in_proportion_and_memories_as_they_are(tmp_path):
    mine = energy.find(written(tmp_path, MINE))
    lender, fused, tpu = (energy.find(name) for name in ("horowitz_45nm", "bit_fusion_45nm", "zigzag_tpu"))
    assert (mine.name, mine.node_nm) == ("mine", 22)
    assert mine.mac(Fixed(), 8, 8) == 0.1
    assert mine.mac(SpatialFusion(), 8, 8) == pytest.approx(0.4592 * 0.1 / 0.2034)
    assert mine.action("add", 32, 32) == pytest.approx(0.9 * 0.1 / 0.3)
    assert mine.action("move", 8, 8) == 2 * 8 * 0.009
    np.testing.assert_array_equal(mine.sram_read([1, 64]), fused.sram_read([1, 64]))
    assert (mine.dram_read, mine.dram_write) == (tpu.dram_read, tpu.dram_write)
    assert mine.area_um2(Fixed()) == lender.area_um2(Fixed()) == 282 + 137
    assert mine.area_um2(SpatialFusion()) == 1734.6
    assert not mine.leakage(Fixed())


def test_whole_books_and_no_mac_to_compare(tmp_path):
    everything = ["energy", "area", "leak"]
    text = "".join(f'[{book}]\nborrow = "bit_fusion_45nm"\n' for book in everything).replace(
        "[leak]\n", "[leak]\nclock_mhz = 500\n"
    )
    text += '[sram]\nborrow = "bit_fusion_45nm"\n[dram]\nread = { borrow = "bit_fusion_45nm" }\n'
    text += f"[dram.write]\nexponent = 1\npoints = [{POINT}]\n"
    mine, lender = energy.find(written(tmp_path, text)), energy.find("bit_fusion_45nm")
    assert mine.mac(Fixed(), 8, 8) == lender.mac(Fixed(), 8, 8)
    assert mine.action("exp", 32, 32) == lender.action("exp", 32, 32)
    assert mine.leakage(Fixed()) == lender.leakage(Fixed())
    assert mine.dram_write == 0.1 / 8
    own = [entry for entry in mine.constants() if not entry.borrowed]
    assert own == [("dram.write", "8 bits", 0.1, "pJ", "measured", "ours", "")]
    assert {entry.borrowed for entry in mine.constants()} >= {"bit_fusion_45nm", "horowitz_45nm"}


def test_the_shipped_files_are_what_users_may_write(tmp_path):
    for name in energy.names():
        text = resources.files("hwsim.accel").joinpath("energies", f"{name}.toml").read_text(encoding="utf-8")
        assert energy.find(written(tmp_path, text)).constants() == energy.find(name).constants()
        assert tomllib.loads(text).keys() >= {"about", "source", "energy", "sram", "dram", "area"}


MISTAKES = [
    ("node_nm = 22", "node_nm = -22", "node_nm must be a number of nm above 0, got -22; write node_nm = 45"),
    ("node_nm = 22", "node_nm = nan", "node_nm must be a number of nm above 0, got nan; write node_nm = 45"),
    ("node_nm = 22", 'node_nm = "22"', 'node_nm must be a number of nm above 0, got "22"; write node_nm = 45'),
    ("node_nm = 22", "node = 22", 'node must be a key of its table, got "node"; known, nearest first: node_nm, name, '),
    ('about = "ours"', 'name = "ours"', 'name must be the file\'s own, got "ours"; drop the key'),
    ("value = 0.1", "value = 0", "energy.mac.points[0].value must be a number above 0, got 0; write value = 0.2"),
    ("value = 0.1", "value = inf", "energy.mac.points[0].value must be a number above 0, got inf; write value = 0.2"),
    (
        "value = 0.1",
        "value = true",
        "energy.mac.points[0].value must be a number above 0, got true; write value = 0.2",
    ),
    (
        "bits = 8",
        "bits = 8.5",
        "energy.mac.points[0].bits must be an integer from 1 to 4096 (bits), got 8.5; write bits = 8",
    ),
    (
        ', source = "ours"',
        "",
        "energy.mac.points[0].source must be a text that says where the figure is from, got nothing; write source = ",
    ),
    (
        'status = "measured"',
        'status = "guessed"',
        'energy.mac.points[0].status must be one of "printed", "recalled", "derived", "inferred", "measured", '
        'got "guessed"; write status = "printed"',
    ),
    (
        "exponent = 2\n",
        "",
        "energy.mac.exponent must stand beside points, got nothing; 2 is a multiplier's, 1 an adder's",
    ),
    (
        f"points = [{POINT}]",
        "",
        'energy.mac.points must be given or else borrow, got neither; write borrow = "horowitz_45nm"',
    ),
    (
        f"[{POINT}]",
        f'[{POINT}]\nborrow = "maestro"',
        'energy.mac.points must be given or else borrow, got both; write borrow = "horowitz_45nm"',
    ),
    (f"[{POINT}]", f"[{POINT}, {POINT}]", "energy.mac.points must rise, got 8, 8; sort them"),
    ('[sram]\nborrow = "bit_fusion_45nm"', "", "sram must be a table, got nothing; write it as [sram]"),
    (
        'multiply = { borrow = "horowitz_45nm" }\nadd',
        "add",
        'energy.multiply must be given, got nothing; write multiply = { borrow = "horowitz_45nm" }',
    ),
    (
        f"[energy.mac]\nexponent = 2\npoints = [{POINT}]",
        "",
        None,  # without a MAC of its own it is a multiplication and an addition
    ),
    (
        'borrow = "zigzag_tpu"',
        'borrow = "zigzag"',
        'dram.read.borrow must be a shipped table, got "zigzag"; known, nearest first: zigzag_tpu, ',
    ),
    (
        'fusion = { borrow = "bit_fusion_45nm" }',
        'fusion = { borrow = "maestro" }',
        'energy.fusion.borrow must be a table with fusion of its own, got "maestro"; '
        "see docs/energy.md for which have it",
    ),
    (
        'fusion = { borrow = "bit_fusion_45nm" }',
        'fusion = { borrow = "bit_fusion_45nm", exponent = 2 }',
        "energy.fusion.exponent must be the lender's, got 2; drop it",
    ),
    (
        '[area]\nborrow = "horowitz_45nm"',
        '[area]\nborrow = "horowitz_45nm"\nsram = { borrow = "horowitz_45nm" }',
        "area.borrow must stand alone, got it with sram; borrow that one item, or all",
    ),
    (
        '[area]\nborrow = "horowitz_45nm"',
        '[area]\nborrow = "horowitz_45nm"\n[leak]\nclock_mhz = 100\nborrow = "maestro"',
        'leak.borrow must be a table with leak of its own, got "maestro"; see docs/energy.md for which have it',
    ),
    ("node_nm = 22", "node_nm = 22\nnode_nm = 22", "must be TOML with each key once, got Cannot overwrite a value"),
]


@pytest.mark.parametrize(("right", "wrong", "said"), MISTAKES)
def test_mistakes_are_answered_in_one_line(tmp_path, right, wrong, said):
    assert right in MINE
    path = written(tmp_path, MINE.replace(right, wrong, 1))
    if said is None:
        assert energy.find(path).mac(Fixed(), 8, 8) == pytest.approx(0.23)
        return
    with pytest.raises(BadFile) as caught:
        energy.find(path)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"{path}: {said}")
    assert text.endswith(said) or said.endswith((", ", "= ", "value"))


def test_unknown_names_and_files():
    with pytest.raises(UnknownName) as caught:
        energy.find("horowitz")
    first = "energy table: unknown name, got 'horowitz'; known, nearest first: horowitz_45nm, "
    assert str(caught.value).startswith(first)
    with pytest.raises(BadFile) as caught:
        energy.find("nowhere.toml")
    expected = "nowhere.toml: must be an energy table as TOML, got No such file or directory; give another file"
    assert str(caught.value) == expected
