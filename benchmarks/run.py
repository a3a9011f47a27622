"""Measures what BENCHMARKS.md states: tracing of every model, and simulation beside torch, interleaved in one process.

    python benchmarks/run.py [--models NAME ...] [--rounds N]

Times are medians over the rounds; ratios are medians of each round's ratio. Peak memory is that of a process of its own.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

MODELS = (
    "deit_tiny_patch16_224",
    "deit_small_patch16_224",
    "deit_base_patch16_224",
    "deit_small_distilled_patch16_224",
    "swin_tiny_patch4_window7_224",
    "swin_small_patch4_window7_224",
    "digits_deit",
)
SIMULATED = "deit_small_patch16_224_w4a4"


def trace_one(name: str) -> dict[str, float]:
    """Seconds to build and to trace `name` at W4A4, nodes, and the peak memory of this process in MB."""
    import torch

    import workloads
    from qmodels import builder, tracing

    workload = workloads.find(f"{name}_w4a4")
    start = time.perf_counter()
    model = builder.build(workload)
    built = time.perf_counter()
    graph = tracing.trace(model, torch.zeros(2, *workload.model.image), name)
    traced = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"build_s": built - start, "trace_s": traced - built, "nodes": len(graph.nodes), "peak_mb": peak}


def simulate_beside_torch(rounds: int) -> dict[str, float]:
    """One 224 x 224 image through the simulator and the fake-quant model, in turns."""
    import copy

    import numpy as np
    import torch

    import workloads
    from hwsim.simulator import simulate
    from qmodels import builder, tracing

    workload = workloads.find(SIMULATED)
    model = builder.build(workload)
    graph = tracing.trace(model, torch.zeros(2, *workload.model.image), workload.name)
    double = copy.deepcopy(model).double()
    generator = np.random.default_rng(0)
    one = generator.normal(size=(1, *workload.model.image)).astype(np.float32)
    eight = generator.normal(size=(8, *workload.model.image)).astype(np.float32)

    def torch_run(network: torch.nn.Module, images: np.ndarray, dtype: torch.dtype) -> Callable[[], object]:
        def call() -> object:
            with torch.no_grad():
                return network(torch.from_numpy(images).to(dtype))

        return call

    cases: dict[str, Callable[[], object]] = {
        "simulate 1 image": lambda: simulate(graph, {"input": one}),
        "fake quant float32 1 image": torch_run(model, one, torch.float32),
        "fake quant float64 1 image": torch_run(double, one, torch.float64),
        "simulate 8 images": lambda: simulate(graph, {"input": eight}),
        "fake quant float32 8 images": torch_run(model, eight, torch.float32),
    }
    for case in cases.values():
        case()
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            start = time.perf_counter()
            case()
            times[name].append(time.perf_counter() - start)
    medians = {f"{name} [s]": statistics.median(values) for name, values in times.items()}
    for images in ("1 image", "8 images"):
        pairs = zip(times[f"fake quant float32 {images}"], times[f"simulate {images}"], strict=True)
        medians[f"fake quant float32 / simulate, {images} [x]"] = statistics.median(a / b for a, b in pairs)
    return medians | {"peak [MB]": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def main() -> None:
    """Run all, or one part in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=MODELS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        result = simulate_beside_torch(arguments.rounds) if arguments.part == "simulate" else trace_one(arguments.part)
        print(json.dumps(result))
        return
    for part in (*arguments.models, "simulate"):
        command = [sys.executable, __file__, "--part", part, "--rounds", str(arguments.rounds)]
        environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}  # as the command line sets it
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        print(part)
        for key, value in json.loads(done.stdout).items():
            print(f"  {key:45} {value:10.3f}")


if __name__ == "__main__":
    main()
