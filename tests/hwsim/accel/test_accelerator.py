"""Machines from files: what is refused and how, what `changed` and `varied` make of one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim.accel.accelerator import Accelerator, changed, find, names, read, varied
from hwsim.accel.parts import VECTOR_CYCLES
from hwsim.errors import BadFile, HwsimError, UnknownName

MINE = """
clock_mhz = 200
energy = "horowitz_45nm"
[array]
rows = 8
cols = 4
dataflow = "best"
[precision]
scheme = "serial_both"
[buffers]
activations = { kib = 16, bytes_per_cycle = 8 }
weights = { kib = 16, bytes_per_cycle = 8 }
outputs = { kib = 8, bytes_per_cycle = 32 }
[dram]
gb_per_s = 6.4
[vector]
lanes = 4
"""


@pytest.fixture
def machine(tmp_path: Path) -> Accelerator:
    path = tmp_path / "mine.toml"
    path.write_text(MINE)
    return read(path)


def test_a_file_of_ones_own(machine: Accelerator) -> None:
    assert (machine.name, machine.clock_mhz, machine.pes) == ("mine", 200.0, 32)
    assert (machine.array.count, machine.array.interconnect, machine.array.split) == (1, "systolic", "none")
    assert [machine.array.shadow_registers, machine.array.back_to_back, machine.array.accumulators] == [False] * 3
    assert machine.precision.name == "serial_both"
    assert machine.buffers.weights.double_buffered
    assert (machine.buffers.packing, machine.buffers.resident_kib, machine.dram.float_bits) == ("dense", 0.0, 16)
    assert machine.vector.cycles == VECTOR_CYCLES
    assert (machine.pipeline, machine.published, machine.compat) == (None, (), "")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("rows = 8", "rows = 0", "array.rows must be an integer from 1 to 65536 (PEs), got 0; write rows = 32"),
        ("rows = 8", "rows = -8", "array.rows must be an integer from 1 to 65536 (PEs), got -8; write rows = 32"),
        ("rows = 8", "rows = 8.0", "array.rows must be an integer from 1 to 65536 (PEs), got 8.0; write rows = 32"),
        ("rows = 8", "rows = true", "array.rows must be an integer from 1 to 65536 (PEs), got true; write rows = 32"),
        ("rows = 8", "", "array.rows must be an integer from 1 to 65536 (PEs), got nothing; write rows = 32"),
        ("rows = 8", "row = 8", 'array.row must be a key of its table, got "row"; known, nearest first: rows, '),
        (
            "= 200",
            "= 2e8",
            "clock_mhz must be a number of MHz from 1 to 10000, got 200000000.0; write clock_mhz = 500",
        ),
        ("= 200", "= nan", "clock_mhz must be a number of MHz from 1 to 10000, got nan; write clock_mhz = 500"),
        (
            "clock_mhz",
            "clock_hz",
            'clock_hz must be a key of its table, got "clock_hz"; known, nearest first: clock_mhz, ',
        ),
        (
            "= 6.4",
            "= 6.4e9",
            "dram.gb_per_s must be a number of GB/s (10^9 bytes) above 0 up to 10000, got 6400000000.0; write ",
        ),
        (
            "activations = { kib = 16",
            "activations = { kib = 16777216",
            "buffers.activations.kib must be a number of KiB above 0 up to 65536, got 16777216; write kib = 128",
        ),
        (
            "outputs = { kib = 8",
            "outputs = { kib = -1",
            "buffers.outputs.kib must be a number of KiB above 0 up to 65536, got -1; write kib = 128",
        ),
        (
            '"best"',
            '"ws"',
            'array.dataflow must be one of "output_stationary", "weight_stationary", "input_stationary", "best", got "ws"; '
            'write dataflow = "output_stationary"',
        ),
        ("[vector]", "[vectr]", 'vectr must be a key of its table, got "vectr"; known, nearest first: vector, '),
        ("serial_both", "serial", 'precision.scheme must be one of "serial_both", '),
        ("lanes = 4", "lanes = 4\ncycles = { ex = 1 }", 'vector.cycles.ex must be a known kind of action, got "ex"; '),
        (
            "lanes = 4",
            "lanes = 4\ncycles = { mac = 1 }",
            'vector.cycles.mac must be a known kind of action, got "mac"; ',
        ),
        (
            "lanes = 4",
            "lanes = 4\ncycles = { exp = -1 }",
            "vector.cycles.exp must be a number of cycles from 0 to 10000, got -1; write exp = 1",
        ),
        (
            "lanes = 4",
            "lanes = 4\n[pipeline.units]\nmlp = { m = 1 }",
            'pipeline.units.mlp must be a known group of layers, got "mlp"; known, nearest first: ',
        ),
        (
            "lanes = 4",
            "lanes = 4\n[pipeline]\nunits = {}\nvector = { smax = { elements = 2 } }",
            'pipeline.vector.smax must be a known role of work, got "smax"; known, nearest first: ',
        ),
        (
            "lanes = 4",
            "lanes = 4\n[pipeline]",
            "pipeline.units must be a table, got nothing; write it as [pipeline.units]",
        ),
        (
            "clock_mhz",
            'compat = "bitfusion"\nclock_mhz',
            'compat must be "" unless precision.scheme = "spatial_fusion", got "bitfusion" with "serial_both"; '
            "change one of them",
        ),
        ("clock_mhz", 'name = "x"\nclock_mhz', 'name must be the file\'s own, got "x"; drop the key'),
        ("[dram]", "[dram]\ngb_per_s = 1", "must be TOML with each key once, got Cannot overwrite a value"),
        (
            "lanes = 4",
            'lanes = 4\n[[published]]\nmodel = "m"\nwbits = 8\nabits = 8\nmetric = "fps"\nvalue = 1\nunit = ""\nsource = ""\n'
            'status = "printed"\nband = [2, 1]',
            "published[0].band must be two numbers 0 < least <= most, got [2.0, 1.0]; write band = [0.9, 1.1]",
        ),
    ],
)
def test_what_is_refused(old: str, new: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    assert old in MINE
    path.write_text(MINE.replace(old, new, 1))
    with pytest.raises(BadFile) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: {told}")
    assert "\n" not in str(error.value)


def test_finding_one(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownName, match=r"^accelerator: unknown name, got 'systolic_33x33'; known, nearest first: systolic_"
    ):
        find("systolic_33x33")
    with pytest.raises(BadFile, match=r"no\.toml: must be an accelerator as TOML, got No such file or directory"):
        find(tmp_path / "no.toml")
    plain = tmp_path / "mine"
    plain.write_text(MINE)
    assert find(str(plain)).name == "mine"
    assert find("systolic_32x32").name == "systolic_32x32"


def leaves(tree: dict[str, Any], under: str = "") -> list[tuple[str, Any]]:
    found = []
    for key, value in tree.items():
        if isinstance(value, dict):
            found += leaves(value, f"{under}{key}.")
        elif not isinstance(value, tuple | list) and value is not None:
            found.append((f"{under}{key}", value))
    return found


@pytest.mark.parametrize("name", names())
def test_changing_a_key_to_what_it_is_changes_nothing(name: str) -> None:
    machine = find(name)
    tree = machine.model_dump(exclude={"name", "precision"}) | {"precision": machine.precision.model_dump()}
    keys = leaves(tree)
    assert len(keys) > 30
    assert changed(machine, {}) == machine
    for key, value in keys:
        text = str(value).lower() if isinstance(value, bool) else str(value)
        assert changed(machine, {key: value}) == machine == changed(machine, {key: text}), key


def test_changed_takes_values_and_texts(machine: Accelerator) -> None:
    other = changed(
        machine, {"array.rows": "64", "dram.gb_per_s": 3, "array.true_edges": "true", "vector.cycles.exp": "2"}
    )
    assert (other.array.rows, other.dram.gb_per_s, other.array.true_edges) == (64, 3.0, True)
    assert (other.vector.cycles["exp"], other.vector.cycles["div"]) == (2.0, VECTOR_CYCLES["div"])
    assert changed(machine, {"array.rows": np.int64(3)}).array.rows == 3
    assert changed(machine, {"array.dataflow": "output_stationary"}).array.dataflow == "output_stationary"
    assert machine.array.rows == 8


def test_another_scheme_starts_from_its_own_defaults(machine: Accelerator) -> None:
    other = changed(machine, {"precision.scheme": "fixed", "precision.bits": 4})
    assert other.precision.model_dump() == {"skips": "none", "bits": 4}
    same = changed(machine, {"precision.lanes": 8})
    assert same.precision.model_dump() == {"skips": "none", "lanes": 8}


def test_a_pipeline_is_given_and_taken(machine: Accelerator) -> None:
    other = changed(machine, {"pipeline.units.qk.m": 4, "pipeline.vector.softmax.passes": 3})
    assert other.pipeline is not None
    assert (other.pipeline.units["qk"].m, other.pipeline.units["qk"].k) == (4, 1)
    assert (other.pipeline.vector["softmax"].elements, other.pipeline.vector["softmax"].passes) == (1, 3)
    assert changed(other, {"pipeline": "none"}) == machine


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            {"array.rows": "many"},
            'mine: array.rows must be an integer from 1 to 65536 (PEs), got "many"; write rows = 32',
        ),
        ({"array.rows": "8\ncols = 3"}, "mine: array.rows must be an integer from 1 to 65536 (PEs), got "),
        ({"array.hight": 3}, 'mine: array.hight must be a key of its table, got "hight"; known, nearest first: '),
        ({"aray.rows": 3}, 'mine: aray must be a key of its table, got "aray"; known, nearest first: array, '),
        ({"clock_mhz.x": 3}, 'mine: clock_mhz.x must be a key of its table, got "x"; known, nearest first: '),
        ({"clock_mhz": "1e999"}, "mine: clock_mhz must be a number of MHz from 1 to 10000, got inf; write"),
        ({"precision.bits": 3}, 'mine: precision.bits must be a key of its table, got "bits"; known, nearest first: '),
        ({"name": "x"}, 'mine: name must be the file\'s own, got "x"; drop the key'),
        ({"": 3}, 'mine:  must be a key of its table, got ""; known, nearest first: '),
    ],
)
def test_what_changed_refuses(values: dict[str, Any], told: str, machine: Accelerator) -> None:
    with pytest.raises(BadFile) as error:
        changed(machine, values)
    assert str(error.value).startswith(told)


def test_varied_puts_arrays_in_the_place_of_numbers(machine: Accelerator) -> None:
    many = varied(
        machine,
        {
            "array.rows": [8, 16, 32],
            "dram.gb_per_s": np.array([1, 2, 3]),
            "buffers.weights.kib": np.array([1.5, 2, 3]),
            "vector.cycles.exp": [1, 2, 3],
        },
    )
    assert many.array.rows.tolist() == [8, 16, 32]  # type: ignore[attr-defined]
    assert many.array.rows.dtype == np.int64  # type: ignore[attr-defined]
    assert many.dram.gb_per_s.dtype == many.vector.cycles["exp"].dtype == np.float64  # type: ignore[attr-defined]
    assert np.asarray(many.pes).tolist() == [32, 64, 128]
    assert (many.array.cols, many.buffers.activations.kib, many.vector.cycles["div"]) == (4, 16.0, VECTOR_CYCLES["div"])
    assert machine.array.rows == 8


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            {"array.rows": [8, 0, 16]},
            "mine: array.rows must be an integer from 1 to 65536 (PEs), got 0; write rows = 32",
        ),
        ({"array.rows": [8, 99999, 9]}, "mine: array.rows must be an integer from 1 to 65536 (PEs), got 99999; write"),
        ({"array.rows": [8.0, 9.0]}, "mine: array.rows must be an integer from 1 to 65536 (PEs), got 8.0; write"),
        ({"clock_mhz": [8.0, np.nan]}, "mine: clock_mhz must be a number of MHz from 1 to 10000, got nan; write"),
        ({"array.row": [8, 9]}, 'mine: array.row must be a key of its table, got "row"; known, nearest first: rows, '),
        ({"array.true_edges": [0, 1]}, "mine: array.true_edges must be true or false, got 0; write true_edges = true"),
        (
            {"array.dataflow": ["best", "best"]},
            "varied mine: array.dataflow must be a key with numbers, got <U4; take `changed` for others",
        ),
        (
            {"precision.lanes": [1, 2]},
            "varied mine: precision.lanes must be a key with numbers, got int64; take `changed` for others",
        ),
        (
            {"pipeline.units.qk.m": [1, 2]},
            "varied mine: pipeline.units.qk.m must be a key with numbers, got int64; take `changed` for others",
        ),
        (
            {"dram.float_bits": [8, 16]},
            "varied mine: dram.float_bits must be a key with numbers, got int64; take `changed` for others",
        ),
        (
            {"array.rows": [1, 2], "array.cols": [1, 2, 3]},
            "varied mine: values must be arrays of one length, got array.rows (2,), array.cols (3,); "
            "give one value per configuration",
        ),
        ({"array.rows": 3}, "varied mine: values must be arrays of one length, got array.rows (); give one value per"),
        (
            {"array.rows": np.zeros(0, int)},
            "varied mine: values must be arrays of one length, got array.rows (0,); give",
        ),
    ],
)
def test_what_varied_refuses(values: dict[str, Any], told: str, machine: Accelerator) -> None:
    with pytest.raises(HwsimError) as error:
        varied(machine, values)
    assert str(error.value).startswith(told)


def test_varied_by_nothing_is_the_machine(machine: Accelerator) -> None:
    assert varied(machine, {}) == machine
