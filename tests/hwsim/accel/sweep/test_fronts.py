"""Who competes with whom, who stands on the front, and what records say of it."""

import json

import pytest

from hwsim.accel.accelerator import find
from hwsim.accel.sweep.fronts import fronts, records
from hwsim.accel.sweep.run import results_of, run

AXES = """
[axes]
"array.rows, array.cols" = [4, 8, 16, [8, 32]]
dram.gb_per_s = { from = 0.5, to = 8, steps = 20 }
buffers.weights.kib = [8, 32, 128, 512, 2048]
"""


@pytest.fixture
def found(swept, tmp_path):
    """The sweep of these lines, its results as they were written, and its fronts."""

    def make(text, *least):
        sweep, path = swept(text, *least), tmp_path / "r.jsonl"
        path.unlink(missing_ok=True)
        with results_of(sweep, path) as results:
            run(sweep, results)
        return sweep, [json.loads(line) for line in path.read_text().splitlines()[1:]], fronts(sweep, path)

    return make


def best(lines, *names):
    """By definition."""
    values = [[line[name] for name in names] for line in lines]

    def beaten(a):
        return any(all(y <= x for x, y in zip(a, b, strict=True)) and a != b for b in values)

    return [line["point"] for line, value in zip(lines, values, strict=True) if not beaten(value)]


def test_a_front_for_each_model_at_its_bits_batch_and_prices(found):
    _, lines, seen = found(f'bits = ["w8a8", "w4a4"]\nbatch = [1, 2]\nenergy = ["maestro", "zigzag_tpu"]\n{AXES}')
    assert [front.points for front in seen.fronts] == [400] * 8
    for front in seen.fronts:
        first = front.best[0]
        rivals = [line for line in lines if all(line[key] == first[key] for key in ("bits", "batch", "energy"))]
        wanted = best(rivals, "latency_seconds", "energy_joules", "area_um2")
        assert sorted(line["point"] for line in front.best) == wanted
        assert [line["latency_seconds"] for line in front.best] == sorted(
            line["latency_seconds"] for line in front.best
        )
        kinds = {line["point"] for line in front.best} & {line["point"] for line in front.beaten}
        assert not kinds
        assert 300 < len(front.beaten) < 400
    assert seen.refused == {}


def test_what_is_kept_apart_is_said(found):
    text = f'bits = ["w8a8", "w4a4"]\nobjectives = ["area", "size", "latency"]\napart = []\n{AXES}'
    _, lines, seen = found(text)
    assert [front.points for front in seen.fronts] == [800]
    assert sorted(line["point"] for line in seen.fronts[0].best) == best(
        lines, "latency_seconds", "area_um2", "size_bytes"
    )
    assert {line["bits"] for line in seen.fronts[0].best} == {"w4a4"}


def test_machines_with_prices_of_their_own_compete_with_their_like(found):
    machines = 'accelerator = ["systolic_16x16", "stripes", "systolic_32x32"]\nmodels = "digits_deit"\n'
    tables = {name: find(name).energy for name in ("systolic_16x16", "stripes", "systolic_32x32")}
    assert len(set(tables.values())) == 2
    _, lines, seen = found('bits = "w8a8"\n[axes]\nclock_mhz = [100, 500]', machines)
    assert [line["energy"] for line in lines] == [tables[line["accelerator"]] for line in lines]
    assert sorted(front.points for front in seen.fronts) == [2, 4]


def test_points_that_were_refused_do_not_compete(found):
    _, _, seen = found('bits = ["w32a32", "w8a8"]\n[axes]\nclock_mhz = [100, 200, 300]')
    assert [front.points for front in seen.fronts] == [3]
    (reason, points), *_ = seen.refused.items()
    assert reason.startswith("precision fixed: operands must have 1 to 31 bits, got 32; ")
    assert points == 3
    _, _, none = found('bits = "w32a32"\n[axes]\nclock_mhz = [100, 200, 300]')
    assert (none.fronts, sum(none.refused.values())) == ((), 3)


def test_records_are_four_a_point(found):
    sweep, _, seen = found(f'bits = ["w8a8"]\nobjectives = ["latency", "energy"]\n{AXES}')
    rows = records(sweep, seen)
    front = seen.fronts[0]
    assert len(rows) == 4 * (len(front.best) + len(front.beaten))
    line = front.best[0]
    values = {row.metric: (row.value, row.unit) for row in rows if row.tag("point") == str(line["point"])}
    assert values == {
        "sweep_latency": (line["latency_seconds"] * 1e3, "ms"),
        "sweep_energy": (line["energy_joules"] * 1e3, "mJ"),
        "sweep_area": (line["area_um2"] * 1e-6, "mm2"),
        "sweep_size": (line["size_bytes"] * 1e-6, "MB"),
    }
    rows, cols, kib = line["array.rows"], line["array.cols"], line["buffers.weights.kib"]
    square = f"{rows}" if rows == cols else f"{rows} x {cols}"
    first = records(sweep, seen)[0]
    assert (first.workload, first.accelerator) == ("digits_deit", "systolic_32x32")
    assert dict(first.tags) == {
        "sweep": "small",
        "front": "0",
        "compete": "400",
        "on": "yes",
        "point": str(line["point"]),
        "bits": "w8a8",
        "wbits": "8",
        "abits": "8",
        "batch": "1",
        "table": line["energy"],
        "settings": f"rows cols {square}, gb_per_s {line['dram.gb_per_s']:g}, weights.kib {kib}",
        "objectives": "latency energy",
    }
