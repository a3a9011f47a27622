"""Makers of hwsim's own cases: graphs are made once in a process of their own, then simulated in one worker per tier.

    python benchmarks/ours.py WORKLOAD FOLDER     # as `prepare` calls it: WORKLOAD.mixed and WORKLOAD.integer

A case's note is a digest of its output: all tiers and thread counts must say the same.
"""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from competitors import images

FORMS = ("mixed", "integer")
RECIPE = "lut"


def prepare(workload: str, folder: Path) -> dict[str, Path]:
    """Graph files of `workload` by form, made anew from this checkout."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, __file__, workload, str(folder)], check=True)
    return {form: folder / f"{workload}.{form}" for form in FORMS}


def make(workload: str, folder: Path) -> None:
    """Write the mixed graph of `workload` and its integer form, calibrated on two random images."""
    import torch

    import workloads
    from hwsim import store
    from hwsim.lower import integerize
    from hwsim.lower.ranges import measure
    from qmodels import builder, tracing

    found = workloads.find(workload)
    mixed = tracing.trace(builder.build(found), torch.zeros(2, *found.model.image), workload)
    store.save(mixed, folder / f"{workload}.mixed")
    ranges = measure(mixed, {mixed.inputs[0]: images(2)})
    store.save(integerize(mixed, RECIPE, ranges), folder / f"{workload}.integer")


def tiers() -> list[str]:
    """What this machine can run, fastest first; the oracle is nothing to time."""
    from hwsim.kernels.choose import usable

    return [name for name in usable() if name != "oracle"]


def simulated(path: str, batch: int, threads: int) -> Callable[[], object]:
    """A graph file on `threads` threads; the codes of an integer graph's input are made beforehand."""
    from hwsim import store
    from hwsim.simulator import as_codes, simulate

    graph = store.load(Path(path))
    feeds = as_codes(graph, {graph.inputs[0]: images(batch)})

    def call() -> dict[str, Any]:
        return simulate(graph, feeds, threads=threads)

    digest = hashlib.sha256(b"".join(call()[name].tobytes() for name in graph.outputs))
    call.note = digest.hexdigest()[:16]  # type: ignore[attr-defined]
    return call


if __name__ == "__main__":
    make(sys.argv[1], Path(sys.argv[2]))
