"""Part `accel`: what an estimate takes, one configuration of a machine after the other, many at once, and the whole command.

python benchmarks/accel_cases.py GRAPH      # many configurations of a graph file, in a process without torch

Configurations are of DeiT-B at W4A4: rows, cols, three buffers, memory for activations, DRAM bandwidth and vector lanes at
random. Times are core-seconds of this process, memory is the most that was resident.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from cost_cases import Process, process

MODEL, ESTIMATED = "deit_base_patch16_224", "deit_small_patch16_224"
MACHINE = "systolic_32x32"
COUNT, CHUNK, SINGLE = 100_000, 10_000, 100
COMMAND = ("estimate", ESTIMATED, "--accelerator", MACHINE, "--wbits", "4", "--abits", "4", "--json", "-")


def axes(count: int) -> dict[str, Any]:
    """Numbers for `count` configurations."""
    random = np.random.default_rng(0)
    return {
        "array.rows": random.integers(8, 257, count),
        "array.cols": random.integers(8, 257, count),
        "buffers.activations.kib": random.uniform(16, 2048, count),
        "buffers.weights.kib": random.uniform(16, 2048, count),
        "buffers.outputs.kib": random.uniform(16, 512, count),
        "buffers.resident_kib": random.uniform(0, 4096, count),
        "dram.gb_per_s": random.uniform(1, 200, count),
        "vector.lanes": random.integers(8, 513, count),
    }


def measure(graph: Path) -> dict[str, float]:
    """Seconds for COUNT configurations at once and for SINGLE ones one by one; how far they are apart; memory in MB."""
    from hwsim import store
    from hwsim.accel import evaluate, find
    from hwsim.accel.accelerator import changed, varied
    from hwsim.accel.energy import find as table
    from hwsim.accel.program import program

    start = time.process_time()
    whole = program(store.load(graph))
    prepared = time.process_time() - start
    machine, prices, values = find(MACHINE), table("horowitz_45nm"), axes(COUNT)
    evaluate(whole, machine)
    before = _peak()

    def many() -> np.ndarray:
        return np.concatenate(
            [evaluate(whole, varied(machine, _part(values, i, i + CHUNK))).cycles for i in range(0, COUNT, CHUNK)]
        )

    def priced() -> None:
        for i in range(0, COUNT, CHUNK):
            evaluate(whole, varied(machine, _part(values, i, i + CHUNK))).energy(prices)

    cycles, seconds = _timed(many)
    _, with_energy = _timed(priced)
    peak = _peak()
    machines = [changed(machine, {key: value[i].item() for key, value in values.items()}) for i in range(SINGLE)]
    one, single = _timed(lambda: np.array([float(evaluate(whole, m).cycles) for m in machines]))
    return {
        "program_s": prepared,
        "many_s": seconds,
        "with_energy_s": with_energy,
        "single_s": single / SINGLE,
        "largest_relative_difference": float(np.max(np.abs(one / cycles[:SINGLE] - 1))),
        "before_mb": before,
        "peak_mb": peak,
    }


def run_accel(folder: Path, say: Callable[[str], None]) -> tuple[dict[str, float], Process]:
    """`measure` in a process without torch, and the command in one of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    graph = folder / f"{MODEL}_w4a4.graph"
    say(f"tracing {MODEL}")
    subprocess.run([*_hwsim(), "trace", MODEL, "--out", str(graph)], check=True, capture_output=True)
    say(f"{COUNT:,} configurations")
    done = subprocess.run([sys.executable, __file__, str(graph)], check=True, capture_output=True, text=True)
    say("hwsim estimate")
    return json.loads(done.stdout), process([*_hwsim(), *COMMAND])


def table_of(found: dict[str, float], whole: Process) -> list[list[str]]:
    """A row per figure."""
    each = found["many_s"] / COUNT * 1e6
    return [
        ["", ""],
        [f"{COUNT:,} configurations at once, {CHUNK:,} at a time [s]", f"{found['many_s']:.2f}"],
        ["a configuration, of many [us]", f"{each:.2f}"],
        ["with energy under one table [us]", f"{found['with_energy_s'] / COUNT * 1e6:.2f}"],
        ["a configuration, alone [us]", f"{found['single_s'] * 1e6:.0f}"],
        ["largest relative difference of the two", f"{found['largest_relative_difference']:.1e}"],
        ["graph to program [s]", f"{found['program_s']:.2f}"],
        ["resident memory before, at most [MB]", f"{found['before_mb']:.0f}, {found['peak_mb']:.0f}"],
        [f"`hwsim {' '.join(COMMAND[:2])} ...`, wall [s], core [s]", f"{whole.wall_s:.1f}, {whole.cpu_s:.1f}"],
    ]


def _hwsim() -> list[str]:
    return [sys.executable, "-m", "hwsim"]


def _part(values: dict[str, Any], start: int, stop: int) -> dict[str, Any]:
    return {key: value[start:stop] for key, value in values.items()}


def _timed(run: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    result = run()
    return result, time.process_time() - start


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))))
