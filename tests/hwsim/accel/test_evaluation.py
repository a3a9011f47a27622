"""Estimates of whole models: parts that add up, many configurations as one, other tools' figures, and what must not rise."""

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwsim.accel import accelerator as accelerators
from hwsim.accel import energy, evaluate, float32
from hwsim.accel.accelerator import Accelerator, changed, varied
from hwsim.accel.activity import Activity
from hwsim.accel.compute import for_images
from hwsim.accel.estimate import COMPONENTS, PARTS, Estimate
from hwsim.accel.gap import speedups
from hwsim.accel.program import Program
from hwsim.errors import HwsimError

TINY, SMALL, SWIN = "deit_tiny_patch16_224", "deit_small_patch16_224", "swin_tiny_patch4_window7_224"
BITFUSION = Path(__file__).parents[2] / "data" / "bitfusion_deit_tiny.csv"
ProgramOf = Callable[[str], Program]
LIGHT = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])

MACHINES = st.fixed_dictionaries(
    {},
    optional={
        "array.rows": st.integers(1, 200),
        "array.cols": st.integers(1, 200),
        "array.count": st.integers(1, 12),
        "array.dataflow": st.sampled_from(["output_stationary", "weight_stationary", "input_stationary", "best"]),
        "array.split": st.sampled_from(["none", "m", "n"]),
        "array.interconnect": st.sampled_from(["systolic", "broadcast"]),
        "array.true_edges": st.booleans(),
        "array.back_to_back": st.booleans(),
        "buffers.packing": st.sampled_from(["dense", "whole_words", "power_of_two"]),
        "buffers.weights.kib": st.floats(0.5, 4000),
        "buffers.weights.bytes_per_cycle": st.floats(1, 300),
        "buffers.outputs.double_buffered": st.booleans(),
        "buffers.resident_kib": st.floats(0, 4000),
        "dram.gb_per_s": st.floats(0.1, 1000),
        "vector.lanes": st.integers(1, 1000),
        "vector.overlap": st.sampled_from(["none", "elementwise", "all"]),
    },
)


@pytest.fixture(scope="module")
def base() -> Accelerator:
    return accelerators.find("systolic_32x32")


@LIGHT
@given(values=MACHINES, width=st.sampled_from([2, 3, 4, 8]), batch=st.integers(1, 5))
def test_parts_add_up(
    values: dict[str, object], width: int, batch: int, base: Accelerator, program_of: ProgramOf
) -> None:
    found = evaluate(program_of(SWIN).at(width, width), changed(base, values), batch=batch)
    assert all(float(found.parts[part]) >= -1e-6 for part in PARTS)
    assert sum(float(found.parts[part]) for part in PARTS) == pytest.approx(float(found.cycles))
    assert sum(float(cost.cycles) * cost.stage.times for cost in found.costs) == pytest.approx(float(found.cycles))
    nodes = list(found.nodes())
    assert sum(sum(parts.values()) for _, _, parts, *_ in nodes) == pytest.approx(float(found.cycles))
    assert sum(moved for *_, moved, _ in nodes) == pytest.approx(float(found.dram_bytes))
    assert sum(cost.macs * cost.stage.times for cost in found.costs) == found.macs == batch * program_of(SWIN).macs


@LIGHT
@given(first=MACHINES, second=MACHINES)
def test_many_configurations_equal_one_by_one(
    first: dict[str, object], second: dict[str, object], base: Accelerator, program_of: ProgramOf
) -> None:
    numbers = {k for k in (first.keys() | second.keys()) if k.rpartition(".")[2] in ("rows", "cols", "count", "kib", "lanes",
               "resident_kib", "gb_per_s", "bytes_per_cycle")}  # fmt: skip
    others = {k: v for k, v in first.items() if k not in numbers}
    plain = changed(base, others)
    pairs = [{k: values.get(k, _at(plain, k)) for k in numbers} for values in (first, second)]
    if not numbers:
        return
    many = evaluate(program_of(SWIN), varied(plain, {k: np.array([pair[k] for pair in pairs]) for k in numbers}))
    table = energy.find("horowitz_45nm")
    for index, pair in enumerate(pairs):
        one = evaluate(program_of(SWIN), changed(plain, pair))
        for part in PARTS:
            assert _one(many.parts[part], index) == pytest.approx(float(one.parts[part]))
        assert _one(many.dram_bytes, index) == pytest.approx(float(one.dram_bytes))
        for name in COMPONENTS:
            assert _one(many.energy(table)[name], index) == pytest.approx(float(one.energy(table)[name]))


def _one(values: object, index: int) -> float:
    return float(np.broadcast_to(np.asarray(values), (2,))[index])


def _at(machine: Accelerator, key: str) -> object:
    thing: object = machine
    for part in key.split("."):
        thing = getattr(thing, part)
    return thing


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("dram.gb_per_s", [0.5, 2, 8, 32, 128]),
        ("vector.lanes", [4, 16, 64, 256]),
        ("buffers.weights.bytes_per_cycle", [1, 4, 16, 64]),
        ("buffers.resident_kib", [0, 100, 400, 1000, 8000]),
        ("buffers.activations.kib", [4, 64, 512, 4096]),
    ],
)
def test_more_of_it_never_costs_cycles(key: str, values: list[float], base: Accelerator, program_of: ProgramOf) -> None:
    cycles = evaluate(program_of(SMALL), varied(base, {key: np.array(values)})).cycles
    assert np.all(np.diff(cycles) <= 1e-6)
    assert cycles[-1] < cycles[0] or key == "buffers.activations.kib"


def test_the_best_dataflow_is_never_worse(base: Accelerator, program_of: ProgramOf) -> None:
    found = {
        name: evaluate(program_of(SMALL), changed(base, {"array.dataflow": name, "vector.overlap": "all"}))
        for name in ("output_stationary", "weight_stationary", "input_stationary", "best")
    }
    arrays = {
        name: sum(float(one.parts[p]) for p in ("useful", "mapping", "fill", "port")) for name, one in found.items()
    }
    assert arrays["best"] <= min(arrays.values()) + 1e-6


@pytest.mark.parametrize("bits", [(8, 8), (4, 4), (2, 2), (3, 3), (8, 4), (8, 2), (4, 2)])
def test_bit_fusion_as_its_own_simulator_has_it(bits: tuple[int, int], program_of: ProgramOf) -> None:
    """Cycles and energy of DeiT-T by the tool (`bitfusion_deit_tiny.csv`), all layers at these bits."""
    with BITFUSION.open() as lines:
        rows = [
            row
            for row in csv.DictReader(line for line in lines if line[0] != "#")
            if (int(row["act_bits"]), int(row["wgt_bits"])) == bits
        ]
    whole = program_of(TINY)
    machine = changed(accelerators.find("bit_fusion"), {"compat": "bitfusion"})
    found = evaluate(whole.mixed(dict.fromkeys(whole.products, bits)), machine)
    total = {
        key: sum(float(row[key]) * int(row["count"]) for row in rows)
        for key in rows[0]
        if key not in ("model", "layer")
    }
    assert float(found.cycles) == total["cycles"]
    assert float(found.parts["useful"] + found.parts["mapping"]) == total["compute_cycles"]
    assert float(found.parts["dram"]) == total["mem_stall_cycles"]
    assert float(found.dram_bytes) * 8 == total["dram_reads_bits"] + total["dram_writes_bits"]
    joules = found.energy(energy.find("bit_fusion_45nm"))
    assert float(joules["mac"]) / 1e3 == pytest.approx(total["E_core_nJ"], rel=0.02)
    assert float(joules["dram"]) / 1e3 == pytest.approx(total["E_dram_nJ"], rel=0.02)
    assert float(joules["sram"]) / 1e3 == pytest.approx(total["E_sram_nJ"], rel=0.02)


def test_machines_of_which_there_is_one_configuration_at_a_time() -> None:
    tool = changed(accelerators.find("bit_fusion"), {"compat": "bitfusion"})
    for machine, kind in ((tool, 'compat = "bitfusion"'), (accelerators.find("hg_pipe"), "a pipeline")):
        with pytest.raises(HwsimError) as caught:
            varied(machine, {"clock_mhz": np.array([100.0, 200.0])})
        assert str(caught.value) == (
            f"varied {machine.name}: must be an array of our own model, got {kind}; take `changed`, one by one"
        )
        with pytest.raises(HwsimError) as caught:
            float32(machine)
        assert (
            str(caught.value)
            == f"{machine.name}: floats need an array of our own model, got {kind}; quantize the model"
        )


def test_traffic_without_and_with_memory_for_activations(base: Accelerator, program_of: ProgramOf) -> None:
    """With large buffers every value that crosses moves twice, or not at all; weights, input and output always once."""
    roomy = {f"buffers.{name}.kib": 2**16 for name in ("activations", "weights", "outputs")}
    whole = program_of(SMALL).at(4, 4)
    once = sum(row.weights * row.gemm.b_bits / 8 for row in whole.rows if row.gemm)
    once += sum(row.parameters for row in whole.rows) * 2
    once += 3 * 224 * 224 + 1000 * 2
    none = evaluate(whole, changed(base, {**roomy, "buffers.resident_kib": 0}))
    inside = [value for value in whole.flow.values.values() if value.born >= 0 and not value.output]
    crossing = sum(v.elements * (whole.widths[v.feeds[0][0]][v.feeds[0][1]] if v.feeds else 16) / 8 for v in inside)
    reads = sum(
        v.elements * (whole.widths[v.feeds[0][0]][v.feeds[0][1]] if v.feeds else 16) / 8
        for v in inside
        for stage in whole.flow.readers
        if v.name in stage
    )
    assert float(none.dram_bytes) == pytest.approx(once + crossing + reads)
    assert float(evaluate(whole, changed(base, {**roomy, "buffers.resident_kib": 2**20})).dram_bytes) == pytest.approx(
        once
    )


def test_arrays_without_work_cost_nothing(base: Accelerator, program_of: ProgramOf) -> None:
    """More arrays than products, nothing split: the others idle, and neither fetch nor hold anything up."""
    counts = np.array([24, 48, 4096])
    wide = {f"buffers.{name}.bytes_per_cycle": 2**20 for name in ("activations", "weights", "outputs")}
    machine = changed(base, {**wide, "buffers.resident_kib": 0})
    found = evaluate(program_of(TINY), varied(machine, {"array.count": counts}))
    assert np.ptp(found.cycles) == pytest.approx(0)
    assert np.ptp(np.broadcast_to(found.dram_bytes, counts.shape)) == 0
    split = evaluate(program_of(TINY), varied(changed(machine, {"array.split": "n"}), {"array.count": counts}))
    assert np.all(np.diff(split.cycles - split.parts["dram"]) <= 1e-6)


def test_a_batch_goes_in_parts_where_that_is_quicker(base: Accelerator, program_of: ProgramOf) -> None:
    """Memory for the activations of one image: eight at once would all go to DRAM, one by one they stay."""
    machine = changed(base, {"buffers.resident_kib": 600, "dram.gb_per_s": 2})
    whole = program_of(SMALL).at(4, 4)
    one, eight = (evaluate(whole, machine, batch=batch) for batch in (1, 8))
    assert float(eight.cycles) <= 8 * float(one.cycles) * (1 + 1e-12)
    assert eight.macs == 8 * one.macs == sum(cost.macs * cost.stage.times for cost in eight.costs)
    roomy = evaluate(whole, changed(machine, {"buffers.resident_kib": 2**14}), batch=8)
    assert float(roomy.dram_bytes) < float(eight.dram_bytes)
    mixed = evaluate(whole, varied(machine, {"buffers.resident_kib": np.array([600, 2**14])}), batch=8)
    assert mixed.cycles.tolist() == pytest.approx([float(eight.cycles), float(roomy.cycles)])
    assert mixed.dram_bytes.tolist() == pytest.approx([float(eight.dram_bytes), float(roomy.dram_bytes)])


def test_values_stay_for_as_many_images_as_are_alive(base: Accelerator, program_of: ProgramOf) -> None:
    """A stage priced for two images needs twice the memory that it needs for one."""
    from hwsim.accel.traffic import Traffic

    machine = changed(base, {"buffers.resident_kib": 100})
    stage = next(s for s in program_of(TINY).at(4, 4).stages(16) if s.group == "proj")
    needs = stage.writes[0].stays / 1024
    for batch in (1, 2):
        for room, moved in ((needs * batch * 1.001, 0), (needs * batch * 0.999, stage.writes[0].elements * 16 * batch)):
            found = Traffic(
                stage, for_images(stage.gemm, batch), changed(machine, {"buffers.resident_kib": room}), batch
            )
            assert float(found.moved.writes) == pytest.approx(moved)


def test_the_vector_units_words_are_energy_too(base: Accelerator, program_of: ProgramOf) -> None:
    """Results are written before they are read for DRAM or for the memory between layers, whose words cost as well."""
    found = evaluate(program_of(TINY).at(4, 4), changed(base, {"buffers.resident_kib": 2**14}))
    for cost in found.costs:
        assert float(cost.sram["outputs"].reads) == float(cost.sram["outputs"].writes)
    table = energy.find("horowitz_45nm")
    cost = next(c for c in found.costs if c.stage.group == "proj")
    kept = dataclasses.replace(cost, sram={"resident": cost.sram["resident"]})
    assert float(found.energy_of(kept, table)["sram"]) > 0


def test_leakage_is_of_all_pes_over_all_cycles(base: Accelerator, program_of: ProgramOf) -> None:
    table = energy.find("bit_fusion_45nm")
    found = evaluate(program_of(TINY), base)
    per_pe = float(table.leakage(base.precision, base.clock_mhz))
    assert float(found.energy(table)["leakage"]) == pytest.approx(per_pe * 32 * 32 * float(found.cycles))


def test_stalls_under_double_buffering(base: Accelerator, program_of: ProgramOf) -> None:
    """stall = max(0, middle / bandwidth - work) + ends / bandwidth; without double buffers all of it."""
    whole = program_of(TINY)
    single = evaluate(whole, changed(base, {"buffers.weights.double_buffered": False}))
    rate = base.dram.gb_per_s * 8e3 / base.clock_mhz / 8
    for cost in single.costs:
        assert float(cost.parts["dram"]) == pytest.approx(float(cost.dram_bytes) / rate)
    double = evaluate(whole, base)
    for cost in double.costs:
        work = float(cost.cycles) - float(cost.parts["dram"])
        gemm, stage = cost.stage.gemm, cost.stage
        a, b = (
            0 if t.stays <= base.buffers.resident_kib * 1024 else t.elements * t.bits / 8 for t in (stage.a, stage.b)
        )
        rows, cols = min(1, 32 / (gemm.m * gemm.batch)), min(1, 32 / (gemm.n * gemm.batch))
        ends = a * rows + b * cols + float(cost.dram.writes) / 8 * rows
        middle = max(0.0, (float(cost.dram_bytes) - ends) / rate - work)
        assert float(cost.parts["dram"]) == pytest.approx(middle + ends / rate)


def test_weights_are_shared_by_a_batch(base: Accelerator, program_of: ProgramOf) -> None:
    machine = changed(base, {"buffers.resident_kib": 0})
    one, many = (evaluate(program_of(SMALL), machine, batch=batch) for batch in (1, 16))
    assert float(many.dram_bytes) < 16 * float(one.dram_bytes)
    assert float(many.fps) > float(one.fps)
    assert float(many.latency) > float(one.latency)


def test_floats_on_the_machine_of_floats(base: Accelerator, program_of: ProgramOf) -> None:
    whole = program_of(SMALL)
    found = evaluate(whole.at(32, 32, 32), float32(base))
    assert float(found.parts["useful"]) == pytest.approx(whole.macs / (32 * 32))
    assert float(found.dram_bytes) > 3.9 * 22_050_664
    with pytest.raises(HwsimError, match=r"^precision fixed: operands must have 1 to 31 bits, got 32; "):
        evaluate(whole.at(32, 32, 32), base)


def test_speedup_step_by_step(program_of: ProgramOf) -> None:
    machine = accelerators.find("bit_fusion")
    machine = changed(machine, {"compat": ""})
    whole = program_of(SMALL)
    steps = speedups(evaluate(whole.at(4, 4, 4), machine), evaluate(whole.at(8, 8, 8), machine))
    assert tuple(steps) == PARTS
    assert float(steps["useful"]) == pytest.approx(4), "the fused units' factor at 4 x 4 bits"
    last = evaluate(whole.at(8, 8, 8), machine).cycles / evaluate(whole.at(4, 4, 4), machine).cycles
    assert float(steps["vector"]) == pytest.approx(float(last))
    assert float(last) < 4


def test_a_pipeline_is_as_fast_as_its_slowest_unit(program_of: ProgramOf) -> None:
    machine = accelerators.find("hg_pipe")
    assert machine.pipeline is not None
    whole = program_of(TINY).at(4, 4)
    found = evaluate(whole, machine)
    units = machine.pipeline.units
    own = {
        stage.nodes[0]: stage.gemm.batch
        * -(-stage.gemm.m // units[stage.group].m)
        * -(-stage.gemm.k // units[stage.group].k)
        * -(-stage.gemm.n // units[stage.group].n)
        for stage in whole.stages(16, False)
    }
    passes = 1 / min(1.0, machine.precision.peak(4, 4)), 1 / min(1.0, machine.precision.peak(8, 8))
    ends = ("patch_embed.proj", "head")
    slowest = max(c * passes[name in ends] for name, c in own.items())
    softmax = 3 * 197 * 197  # three heads, at three passes of six scores per cycle
    assert float(found.cycles) == max(slowest, -(-softmax // 6) * 3)
    assert float(found.cycles - found.parts["vector"]) == pytest.approx(slowest)
    assert float(found.cycles) == pytest.approx(57_624, rel=0.02), "HG-PIPE's interval, printed in arXiv 2407.17879"
    assert float(found.latency_cycles) == 13 * float(found.cycles)
    four = evaluate(whole, machine, batch=4)
    assert float(four.fps) == pytest.approx(float(found.fps))
    assert float(four.latency_cycles) == 16 * float(found.cycles)


def test_nodes_of_a_pipeline_add_up_and_its_units_are_told(program_of: ProgramOf) -> None:
    found = evaluate(program_of(TINY), accelerators.find("hg_pipe"))
    assert sum(sum(parts.values()) for _, _, parts, *_ in found.nodes()) == pytest.approx(float(found.cycles))
    assert max(found.units, key=lambda name: found.units[name]) == "softmax"
    assert found.units["softmax"] == float(found.cycles)
    assert found.units["patch_embed"] == 56_448


def test_a_pipeline_without_a_unit(program_of: ProgramOf) -> None:
    with pytest.raises(HwsimError) as caught:
        evaluate(program_of(SWIN), accelerators.find("hg_pipe"))
    assert str(caught.value) == (
        "hg_pipe: a pipeline must have a unit for each group of layers, got none for downsample; "
        "add [pipeline.units.downsample]"
    )


def test_measured_activity_shortens_serial_units(program_of: ProgramOf) -> None:
    stripes, whole = accelerators.find("stripes"), program_of(TINY)
    worst = evaluate(whole, stripes)
    halved = evaluate(whole, stripes, activity=_activity(whole, 4))
    assert float(halved.parts["useful"]) == pytest.approx(float(worst.parts["useful"]) / 2)
    table = energy.find("horowitz_45nm")
    assert float(halved.energy(table)["mac"]) < 0.6 * float(worst.energy(table)["mac"])
    with pytest.raises(HwsimError) as caught:
        evaluate(whole.at(4, 4), stripes, activity=_activity(whole, 4))
    assert str(caught.value) == ("activity: blocks.0.attn.qkv must have 4 bits at a, got 8; measure this very model")


def _activity(whole: Program, width: int) -> Activity:
    """All codes `width` bits wide in 8, half of their bits toggling."""
    counts = [0] * 9
    counts[width] = 10
    groups = [0] * 9
    groups[width] = 1
    one = {
        "bits": 8, "constant": False, "set_bits": 10, "widths": tuple(counts),
        "group_widths_16": tuple(groups), "group_widths_256": tuple(groups), "along": (36, 9), "across": (36, 9),
    }  # fmt: skip
    readings = {key: {"a": one, "b": one} for key in ("raw", "centred")}
    return Activity.model_validate({"graph": "g", "images": 1, "products": dict.fromkeys(whole.products, readings)})


@pytest.mark.parametrize("batch", [0, -1, 1.5, True])
def test_illegal_batch(batch: object, base: Accelerator, program_of: ProgramOf) -> None:
    with pytest.raises(HwsimError) as caught:
        evaluate(program_of(TINY), base, batch=batch)  # type: ignore[arg-type]
    assert str(caught.value) == (
        f"batch: must be an integer of 1 or more, got {batch!r}; it is how many images share the weights"
    )


def test_energy_adds_up_over_stages(base: Accelerator, program_of: ProgramOf) -> None:
    found: Estimate = evaluate(program_of(SMALL).at(4, 4), base)
    for name in energy.names():
        table = energy.find(name)
        whole = found.energy(table)
        for component in ("mac", "sram", "dram", "vector"):
            parts = sum(cost.stage.times * float(found.energy_of(cost, table)[component]) for cost in found.costs)
            assert parts == pytest.approx(float(whole[component]))
        assert float(whole["mac"]) == pytest.approx(
            sum(c.stage.times * c.macs * table.mac(base.precision, *c.operands) for c in found.costs)
        )
        assert dataclasses.is_dataclass(found)
