"""`hwsim train`: from nothing to a checkpoint."""

from pathlib import Path
from typing import Annotated

import typer

from hwsim import console
from hwsim.cli._options import Json
from hwsim.record import Record

EXAMPLE = "hwsim train --workload digits_w4a4 --out my_w4a4.safetensors"


def train(
    workload: Annotated[str, typer.Option("--workload", help="A workload with a recipe, see `hwsim list workloads`.")],
    out: Annotated[Path, typer.Option("--out", help="The checkpoint to write.")],
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Epochs, if not the recipe's.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed, if not the recipe's.")] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, help="The weights depend on it; one is quick here.")] = 1,
    json: Json = None,
) -> None:
    """Train a workload from nothing (float), or quantization-aware from its float teacher; write a checkpoint."""
    import workloads
    from hwsim.files import check_writable

    found = workloads.find(workload)
    check_writable(out)
    import torch

    from qmodels import training

    torch.set_num_threads(threads)
    with console.progress(f"training {workload}") as advance:
        metrics = training.train(
            found, epochs=epochs, seed=seed, out=out, progress=lambda p: advance(p.epoch, p.epochs)
        )
    accuracies = {"validation_accuracy": metrics.validation_accuracy, "test_accuracy": metrics.test_accuracy}
    records = [Record(workload, key, value, "fraction", source="measured") for key, value in accuracies.items()]
    if json != "-":
        shown = ", ".join(f"{key.replace('_', ' ')} {100 * value:.2f} %" for key, value in accuracies.items())
        console.say(f"{workload}: {metrics.epochs} epochs in {metrics.seconds:.0f} s, {shown}; wrote {out}")
    if json:
        console.write_json(json, records, {"workload": workload, "epochs": metrics.epochs, "seconds": metrics.seconds})
