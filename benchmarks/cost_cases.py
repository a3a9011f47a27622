"""Part `cost`: `hwsim cost` of one model in a fresh process, qonnx's inference cost of the same model beside it, in turns;
and what one more configuration of a model that is traced already takes.

Times of processes are those of the system: wall clock, core-seconds (user and system, of all threads), and the most memory
that was resident (ru_maxrss), from start to exit with all imports. qonnx's process only reads a file that was exported
before, `hwsim cost` builds and traces the model itself.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MODEL, TALLIED = "deit_small_patch16_224", "deit_base_patch16_224"
BITS = 4
CONVENTIONS = ("bitops_wa", "bireal_ladder", "size_bidet")
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Process:
    """What a process took, and the JSON that it printed."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    answer: dict[str, Any] = field(repr=False)


def process(command: Sequence[str]) -> Process:
    """Run `command` to its end."""
    start = time.perf_counter()
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as started:
        assert started.stdout is not None
        assert started.stderr is not None
        text = started.stdout.read()
        errors = started.stderr.read()
        _, status, used = os.wait4(started.pid, 0)
        started.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    if started.returncode:
        raise RuntimeError(f"{' '.join(command)}: ended with {started.returncode}\n{errors.decode()[-2000:]}")
    return Process(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, json.loads(text))


def run_cost(
    model: str, rounds: int, folder: Path, qonnx_python: str, say: Callable[[str], None]
) -> dict[str, list[Process]]:
    """The processes of each round, ours and (where there is a Python with qonnx) theirs."""
    ours = [sys.executable, "-m", "hwsim", "cost", model, "--wbits", str(BITS), "--abits", str(BITS), "--json", "-"]
    theirs: list[str] = []
    if qonnx_python:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{model}_w{BITS}a{BITS}.qonnx.onnx"
        say(f"cost: exporting {path.name}")
        export = [sys.executable, str(HERE / "qonnx_export.py"), model, str(BITS), str(BITS), str(path)]
        subprocess.run(export, check=True, capture_output=True)
        theirs = [qonnx_python, str(HERE / "qonnx_worker.py"), str(path)]
    found: dict[str, list[Process]] = {"hwsim": [], "qonnx": []}
    for index in range(rounds):
        say(f"cost: {model}, round {index + 1} of {rounds}")
        found["hwsim"].append(process(ours))
        if theirs:
            found["qonnx"].append(process(theirs))
    return found


def run_tallies(model: str = TALLIED) -> dict[str, float]:
    """Milliseconds, best of many: `with_bits` and `tally` of rows, and of condensed rows; and what condensing takes."""
    import workloads
    from hwsim.cost.condense import condensed
    from hwsim.cost.table import resolve, tally
    from hwsim.cost.work import with_bits, work
    from qmodels import evidence

    rows = work(evidence.skeleton_of(workloads.find(f"{model}_w{BITS}a{BITS}")))
    short = condensed(rows)
    found = {"rows": len(rows), "condensed rows": len(short), "condense": _best(lambda: condensed(rows))}
    for name in CONVENTIONS:
        rule = resolve(name)
        found[name] = _best(lambda rule=rule: tally(with_bits(rows, 2, 2), rule))  # type: ignore[misc]
        found[f"{name}, condensed"] = _best(lambda rule=rule: tally(with_bits(short, 2, 2), rule))  # type: ignore[misc]
    return found


def _best(call: Callable[[], object], times: int = 200) -> float:
    """Milliseconds of the quickest of many calls."""

    def once() -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    return 1e3 * min(once() for _ in range(times))


def table(found: dict[str, list[Process]]) -> list[list[str]]:
    """A row per tool, medians over the rounds, and the median of the rounds' ratios."""
    rows = [["", "wall [s]", "core-seconds", "peak [MB]", "MACs", "BOPs", "operators that count as nothing"]]
    for tool, runs in found.items():
        if runs:
            wall, cpu, peak = (statistics.median(taken) for taken in zip(*map(_taken, runs), strict=True))
            macs, bops, nothing = _counted(runs[0].answer)
            rows.append([tool, f"{wall:.1f}", f"{cpu:.1f}", f"{peak:.0f}", f"{macs:,.0f}", f"{bops:,.0f}", nothing])
    rounds = [
        [theirs / ours for ours, theirs in zip(_taken(one), _taken(other), strict=True)]
        for one, other in zip(found["hwsim"], found["qonnx"], strict=False)
    ]
    if rounds:
        rows.append(["qonnx / hwsim", *(f"{statistics.median(of):.1f}x" for of in zip(*rounds, strict=True))])
    return rows


def _taken(run: Process) -> tuple[float, float, float]:
    return run.wall_s, run.cpu_s, run.peak_mb


def _counted(answer: dict[str, Any]) -> tuple[float, float, str]:
    """MACs, BOPs, and what counts as nothing, of either tool's answer."""
    if "records" not in answer:
        return answer["total_macs"], answer["total_bops"], answer["unsupported"]
    totals = {r["metric"]: r["value"] for r in answer["records"] if not r["node"]}
    return totals["macs"], totals["bitops_wa"], ""


def tally_table(found: dict[str, float]) -> list[list[str]]:
    """A row per convention, milliseconds."""
    heads = ["", f"{found['rows']:.0f} rows [ms]", f"{found['condensed rows']:.0f} condensed rows [ms]"]
    body = [[name, f"{found[name]:.3f}", f"{found[f'{name}, condensed']:.3f}"] for name in CONVENTIONS]
    return [heads, *body, ["condensing, once", "", f"{found['condense']:.3f}"]]
