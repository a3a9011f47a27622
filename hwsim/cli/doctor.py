"""`hwsim doctor`: the state of the installation."""

from typing import Annotated

import typer

from hwsim import console
from hwsim.cli._options import Json
from hwsim.cli._output import versions
from hwsim.errors import HwsimError

EXAMPLE = "hwsim doctor --warm"


def doctor(
    warm: Annotated[
        bool, typer.Option("--warm", help="Compile the usual kernels now, so that nothing waits later.")
    ] = False,
    json: Json = None,
) -> None:
    """Versions, how torchvision was loaded, the CPU, and which tier of kernels is used, and why."""
    import os
    import platform

    from hwsim.kernels import choose

    facts = {"python": platform.python_version(), "machine": platform.machine(), "cores": str(os.cpu_count())}
    facts.update((record.node, str(record.value)) for record in versions())
    try:
        from qmodels import torchvision_shim

        facts["torchvision"] = torchvision_shim.STATUS
    except ImportError as error:
        facts["torchvision"] = f"not installed ({error.name})"
    facts.update(_kernel_facts())
    if warm:
        facts["warm"] = _warm()
    try:
        facts["tier"], refused = choose.why(), None
    except HwsimError as error:
        facts["tier"], refused = str(error), error
    if json != "-":
        for key, value in facts.items():
            console.say(f"{key:14} {value}")
    if json:
        console.write_json(json, (), facts)
    if refused:
        raise refused


def _kernel_facts() -> dict[str, str]:
    """What Numba compiles for, and what came of trying each tier."""
    import numba

    from hwsim.kernels import choose
    from hwsim.kernels.kernel import cache_folder, cpu

    facts = {"numba": f"{numba.__version__}, CPU {cpu()}", "kernel cache": str(cache_folder())}
    with console.progress("trying kernels") as advance:
        tried = choose.trials(advance)
    for trial in tried:
        exact = "exact" + (f", pairs of products {trial.pairs:.2f}x" if trial.pairs else "")
        tables = ", tables of bytes by permutation" if trial.permutes else ""
        facts[f"  {trial.name}"] = trial.refusal or exact + tables
    return facts


def _warm() -> str:
    """Run the digits models in both forms, by every recipe, which compiles what they need; how long it took."""
    import time

    import numpy as np

    start = time.perf_counter()
    try:
        import workloads
        from hwsim.lower import recipe as recipes
        from hwsim.simulator import as_codes, simulate
        from qmodels import data, evidence
    except ImportError as error:
        return f"the products only: {error.name} is not installed"
    with console.progress("compiling") as advance:
        for done, name in enumerate(("digits_w4a4", "digits_w8a8"), 1):
            workload = workloads.find(name)
            images, _ = data.load(workload, "train", None, 8)
            subject = evidence.subject_of(workload, None)
            graphs = [subject.graph, *(subject.lowered(recipe, images).graph for recipe in recipes.names())]
            for graph in graphs:
                feeds = as_codes(graph, {graph.inputs[0]: images.numpy().astype(np.float32)})
                simulate(graph, feeds)
                simulate(graph, feeds, [node.name for node in graph.nodes])  # each node alone, too
            advance(done, 2)
    return f"{time.perf_counter() - start:.1f} s"
