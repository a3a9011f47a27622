"""Each point's line is what the estimate of that one machine says; how points are handed out changes nothing."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

import hwsim
from hwsim.accel.accelerator import changed, find
from hwsim.accel.energy import find as table_of
from hwsim.accel.evaluation import evaluate

ROOT = Path(hwsim.__path__[0]) / "accel" / "catalog"
ONE_BY_ONE = 'accelerator = ["bit_fusion", "hg_pipe"]\nmodels = "digits_deit"\n'
AXES = """
bits = ["w8a8", "w4a4", "w2a8"]
ends = 4
batch = [1, 3]
energy = ["horowitz_45nm", "bit_fusion_45nm"]
[axes]
array.dataflow = ["output_stationary", "best"]
"array.rows, array.cols" = [8, [16, 32]]
dram.gb_per_s = [1, 25.5]
buffers.weights.kib = [4, 64]
clock_mhz = [100, 1000]
"""
KEYS = ("array.dataflow", "array.rows", "array.cols", "dram.gb_per_s", "buffers.weights.kib", "clock_mhz")


def lines(sweep, points=None):
    return [json.loads(line) for line in sweep.pricer.lines(sweep.points if points is None else points).splitlines()]


def test_a_line_is_the_estimate_of_its_machine(swept, program_of):
    sweep = swept(AXES)
    found = lines(sweep)
    assert [line["point"] for line in found] == list(range(3 * 2 * 2 * 2 * 2 * 2 * 2 * 2))
    assert len({json.dumps({key: line[key] for key in (*KEYS, "bits", "batch", "energy")}) for line in found}) == len(
        found
    )
    for line in found[::7]:
        weights, activations = int(line["bits"][1]), int(line["bits"][3])
        machine = changed(find("systolic_32x32"), {key: line[key] for key in KEYS})
        program = program_of("digits_deit").at(weights, activations, 4)
        one, table = evaluate(program, machine, batch=line["batch"]), table_of(line["energy"])
        assert line["latency_seconds"] == pytest.approx(float(one.latency), rel=1e-11)
        assert line["fps"] == pytest.approx(float(one.fps), rel=1e-11)
        assert line["cycles"] == pytest.approx(float(one.cycles), rel=1e-11)
        assert line["energy_joules"] == pytest.approx(float(sum(one.energy(table).values())) / line["batch"] * 1e-12)
        assert line["size_bytes"] == program.weight_bytes
        assert line["dram_bytes"] == pytest.approx(float(one.dram_bytes), rel=1e-11)
        parts = {part: line[f"{part}_cycles"] for part in one.parts}
        assert parts == pytest.approx({part: float(value) for part, value in one.parts.items()}, rel=1e-11)
        buffers = machine.buffers
        kib = buffers.activations.kib + buffers.weights.kib + buffers.outputs.kib + buffers.resident_kib
        area = line["array.rows"] * line["array.cols"] * table.area_um2(machine.precision)
        assert line["area_um2"] == pytest.approx(area + kib * 8192 * table.sram_um2_per_bit)


def test_any_way_of_handing_points_out_gives_the_same_lines(swept):
    sweep = swept(AXES)
    whole = sweep.pricer.lines(sweep.points)
    for length in (5, 64, 100):
        parts = np.array_split(sweep.points, range(length, len(sweep.points), length))
        assert "".join(map(sweep.pricer.lines, parts)) == whole
    for point in (0, 77, len(sweep.points) - 1):
        assert sweep.pricer.lines(sweep.points[[point]]) == whole.splitlines(keepends=True)[point]
    some = np.sort(np.random.default_rng(0).permutation(sweep.points)[:50])
    assert sweep.pricer.lines(some).splitlines() == [whole.splitlines()[point] for point in some]


def test_bits_per_layer(swept, tmp_path, program_of):
    bits = {"*": [8, 8], "blocks.*.mlp.fc?": [4, 2], "head": [8, 4]}
    (tmp_path / "mixed.json").write_text(json.dumps({"bits": bits}))
    mixed, plain = lines(swept('bits = ["mixed.json", "w8a8"]'))
    program = program_of("digits_deit")
    one = program.mixed({node: (4, 2) for node in program.products if ".mlp." in node} | {"head": (8, 4)})
    assert mixed["bits"] == str(tmp_path / "mixed.json")
    assert mixed["size_bytes"] == one.weight_bytes < plain["size_bytes"]
    assert mixed["dram_bytes"] < plain["dram_bytes"]


def test_machines_of_which_one_is_priced_at_a_time(swept, program_of):
    found = lines(swept('bits = "w4a4"\n[axes]\ndram.gb_per_s = [1, 50]\nclock_mhz = [100, 500]', ONE_BY_ONE))
    kinds = [(line["accelerator"], line["dram.gb_per_s"], line["clock_mhz"]) for line in found]
    assert kinds == list(itertools.product(("bit_fusion", "hg_pipe"), (1, 50), (100, 500)))
    for line in found:
        machine = changed(find(line["accelerator"]), {key: line[key] for key in ("dram.gb_per_s", "clock_mhz")})
        one = evaluate(program_of("digits_deit").at(4, 4), machine)
        assert line["latency_seconds"] == pytest.approx(float(one.latency), rel=1e-11)


def test_a_machine_that_cannot_run_the_model_says_so(swept):
    found = lines(swept('bits = ["w32a32", "w8a8"]\nenergy = ["horowitz_45nm"]\n[axes]\nclock_mhz = [100, 200]'))
    assert [sorted(line)[-1] for line in found] == ["refused", "refused", "vector_cycles", "vector_cycles"]
    assert found[1] == {
        "point": 1,
        "accelerator": "systolic_32x32",
        "model": "digits_deit",
        "bits": "w32a32",
        "batch": 1,
        "clock_mhz": 200,
        "energy": "horowitz_45nm",
        "refused": "precision fixed: operands must have 1 to 31 bits, got 32; quantize them, or take"
        ' scheme = "fixed" with bits = 32',
    }


def test_texts_with_signs_of_formats_stay_as_they_are(swept, tmp_path):
    text = (ROOT / "systolic_32x32.toml").read_text()
    (tmp_path / "50%d.toml").write_text(text)
    found = lines(swept('accelerator = "50%d.toml"\nbits = "w8a8"', 'models = "digits_deit"\n'))
    assert found[0]["accelerator"] == str(tmp_path / "50%d.toml")
