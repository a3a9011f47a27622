"""`hwsim train --suite NAME`: the runs of a suite that are not done yet, one after the other."""

import os
from collections.abc import Mapping
from pathlib import Path

from hwsim import console
from hwsim.errors import HwsimError

RESULTS = Path("workloads", "results")
"""Where the records of suites are kept, in a folder each, seen from the repository's root."""


def check_alone(others: Mapping[str, object]) -> None:
    """Raise HwsimError where an option was given (is not None) that says of one run what a suite says of all."""
    given = [option for option, value in others.items() if value is not None]
    if given:
        raise HwsimError(
            f"--suite: must stand without {given[0]}, as it says what each run is, got both; leave one out"
        )


def missing(option: str) -> HwsimError:
    """The error where a training lacks `option`."""
    return HwsimError(f"{option}: must be given, got none; pass {option}, or --suite NAME")


def run(name: str, out: Path | None, threads: int, json: str | None) -> None:
    """Train what is left of the suite `name`; records go to the folder `out`, by default one of RESULTS."""
    from hwsim.files import check_folder
    from workloads import suites

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise HwsimError(
            "--suite: a run is trained by one process, got torchrun with several; start the command itself several times, "
            "each takes runs of its own"
        )
    found = suites.find(name)
    folder = out or RESULTS / name
    check_folder(folder)
    import torch

    from qmodels import suite

    torch.set_num_threads(threads)
    before = len(suite.finished(found, folder))
    if json != "-":
        console.say(f"{name}: {before} of {len(found.runs)} runs are done in {folder}")
    with console.progress(f"suite {name}") as advance:

        def tell(p: suite.Progress) -> None:
            advance(round(100 * (p.done + p.step / p.steps)), 100 * p.runs, f"{p.run}, {p.note}")

        for done, (one, records) in enumerate(suite.train(found, folder, progress=tell), before + 1):
            values = {(r.metric, r.tag("split")): r.value for r in records if r.metric.startswith("run_")}
            if json != "-":
                console.say(
                    f"{done} of {len(found.runs)}: {one.name}: "
                    f"test accuracy {100 * float(values['run_accuracy', 'test']):.2f} %, "
                    f"KL to the teacher {float(values['run_kl_divergence', '']):.3g} nat, {values['run_seconds', '']} s"
                )
    if json != "-":
        left = len(found.runs) - len(suite.finished(found, folder))
        console.say(
            f"{name}: {left} of {len(found.runs)} runs are not done yet, other processes have them in hand"
            if left
            else f"{name}: done; see it with `hwsim report {folder} --out FOLDER`"
        )
    if json:
        rows = [record for records in suite.finished(found, folder).values() for record in records]
        console.write_json(json, rows, {"suite": name, "out": str(folder), "runs": len(found.runs)})
