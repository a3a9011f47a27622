"""Part `trace`: seconds to build and to trace each model at W4A4, and the peak memory of a process that does it.

python benchmarks/trace_cases.py MODEL      # one model, as `run_traces` calls it
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence

MODELS = (
    "deit_tiny_patch16_224",
    "deit_small_patch16_224",
    "deit_base_patch16_224",
    "deit_small_distilled_patch16_224",
    "swin_tiny_patch4_window7_224",
    "swin_small_patch4_window7_224",
    "digits_deit",
)


def trace_one(model: str) -> dict[str, float]:
    """Seconds, nodes, and the peak memory of this process in MB."""
    import torch

    import workloads
    from qmodels import builder, tracing

    workload = workloads.find(f"{model}_w4a4")
    start = time.perf_counter()
    built = builder.build(workload)
    middle = time.perf_counter()
    graph = tracing.trace(built, torch.zeros(2, *workload.model.image), model)
    end = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"build_s": middle - start, "trace_s": end - middle, "nodes": len(graph.nodes), "peak_mb": peak}


def run_traces(models: Sequence[str]) -> dict[str, dict[str, float]]:
    """Each model in a process of its own."""
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}  # as the command line sets it
    results = {}
    for model in models:
        command = [sys.executable, __file__, model]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        results[model] = json.loads(done.stdout)
    return results


def table(results: dict[str, dict[str, float]]) -> list[list[str]]:
    """A row per model."""
    heading = ["", "build and calibrate [s]", "trace [s]", "nodes", "peak [MB]"]
    body = [
        [m, f"{r['build_s']:.1f}", f"{r['trace_s']:.1f}", f"{r['nodes']:.0f}", f"{r['peak_mb']:.0f}"]
        for m, r in results.items()
    ]
    return [heading, *body]


if __name__ == "__main__":
    print(json.dumps(trace_one(sys.argv[1])))
