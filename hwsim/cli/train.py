"""`hwsim train`: from nothing, or from a float model, to a checkpoint."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim import console
from hwsim.cli import _training_suite
from hwsim.cli._checkpoint import need_unfinished
from hwsim.cli._options import Json, LayerBitsFile, Method, Preset, ResumeState, TrainingData, changes_of
from hwsim.record import Record

if TYPE_CHECKING:
    from qmodels.training import Metrics, Observer, Progress
    from qmodels.training.settings import Settings

EXAMPLE = "hwsim train --workload digits_w4a4 --method lsq --set epochs=20 --out my_w4a4.safetensors"


def train(
    workload: Annotated[
        str | None, typer.Option("--workload", help="Any workload, see `hwsim list workloads`.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The checkpoint to write; of a suite, the folder of its results.")
    ] = None,
    suite: Annotated[
        str | None, typer.Option("--suite", help="Train a named suite of runs instead, or what is left of it.")
    ] = None,
    method: Method = None,
    preset: Preset = "deployable",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A field of the recipe or a switch of the method; repeatable."),
    ] = None,
    input_scale: Annotated[
        str | None,
        typer.Option("--input-scale", help="per_tensor, or per_channel, which no integer product executes."),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            "--teacher",
            metavar="FILE|pretrained",
            help="The float weights to start and learn from, if not the shipped ones; a float model starts from them.",
        ),
    ] = None,
    layer_bits: LayerBitsFile = None,
    data: TrainingData = None,
    resume: ResumeState = False,
    every: Annotated[
        int | None, typer.Option("--every", min=0, help="Steps between states; 0 for none, by default one per epoch.")
    ] = None,
    log: Annotated[  # torchrun takes --log for its own --log-dir
        Path | None, typer.Option("--metrics", "--log", help="Write each epoch's metrics to this new file, as records.")
    ] = None,
    tensorboard: Annotated[Path | None, typer.Option("--tensorboard", help="A folder for TensorBoard's files.")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Epochs, if not the recipe's.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Seed, if not the recipe's.")] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, help="The weights depend on it; one is quick here.")] = 1,
    json: Json = None,
) -> None:
    """Train a workload from nothing (float), or quantization-aware from its float teacher; write a checkpoint.

    With several processes: torchrun --nproc-per-node N -m hwsim train ...
    """
    if suite is not None:
        own: dict[str, object] = {"--workload": workload, "--method": method, "--set": settings, "--teacher": teacher}
        own |= {"--input-scale": input_scale, "--data": data, "--resume": resume or None, "--every": every}
        own |= {"--metrics": log, "--tensorboard": tensorboard, "--epochs": epochs, "--seed": seed}
        own |= {"--layer-bits": layer_bits, "--preset": None if preset == "deployable" else preset}
        _training_suite.check_alone(own)
        _training_suite.run(suite, out, threads, json)
        return
    if workload is None or out is None:
        raise _training_suite.missing("--out" if workload else "--workload")
    import workloads
    from hwsim.accel.layer_bits import LayerBits
    from hwsim.errors import HwsimError
    from hwsim.files import check_folder, check_writable

    found, changes = workloads.find(workload), changes_of(settings or ())
    for option, key, value in (("--epochs", "epochs", epochs), ("--seed", "seed", seed)):
        if value is not None and key in changes:
            raise HwsimError(f"{option}: must be given once, got --set {key} too; leave one out")
    if input_scale is not None:
        changes |= _input_scale(input_scale, changes)
    for path in (out, log):
        if path is not None:
            check_writable(path)
    if log is not None and not resume and log.exists() and log.stat().st_size:
        raise HwsimError(
            f"{log}: metrics go to a new file, got one with records; remove it, choose another, or go on with --resume"
        )
    if tensorboard is not None:
        check_folder(tensorboard)
    need_unfinished(out, resume)
    import torch

    from qmodels import training
    from qmodels.training import settings as training_settings

    torch.set_num_threads(threads)
    widths = dict(LayerBits.read(layer_bits).widths) if layer_bits else None
    chosen = training_settings.resolve(found, method=method, preset=preset, changes=changes, layer_bits=widths)
    with console.progress(f"training {workload}") as advance:

        def tell(p: "Progress") -> None:
            advance(p.step, p.steps, p.note)

        metrics = training.train(
            found,
            out=out,
            method=method,
            preset=preset,
            changes=changes,
            epochs=epochs,
            seed=seed,
            teacher=teacher,
            layer_bits=widths,
            root=data,
            resume=resume,
            every=every,
            log=log,
            tensorboard=tensorboard,
            say=console.say if json != "-" else lambda line: None,
            progress=tell,
            observers=_observers(chosen) if log or tensorboard else (),
        )
    if metrics.written:
        _tell(metrics, out, json)


def _observers(chosen: "Settings") -> "tuple[Observer, ...]":
    """What is counted in every step for the metrics: the oscillation of weights that are quantized, and whole."""
    from qmodels.oscillation import Oscillation

    return () if chosen.workload.bits.is_float or chosen.recipe.parallel == "fsdp" else (Oscillation(),)


def _input_scale(text: str, changes: dict[str, str]) -> dict[str, str]:
    """The switch that `--input-scale` sets."""
    from hwsim import catalog
    from hwsim.errors import HwsimError

    switches = {"per_tensor": "false", "per_channel": "true"}
    if text not in switches:
        raise catalog.unknown("--input-scale", text, switches)
    if "per_input_channel" in changes:
        raise HwsimError("--input-scale: must be given once, got --set per_input_channel too; leave one out")
    return {"per_input_channel": switches[text]}


def _tell(metrics: "Metrics", out: Path, json: str | None) -> None:
    """What training came to, as a line and as JSON."""
    accuracies = {f"{split}_accuracy": value for split, value in metrics.accuracies.items()}
    records = [Record(metrics.workload, k, value, "fraction", source="measured") for k, value in accuracies.items()]
    if json != "-":
        shown = "".join(f", {key.replace('_', ' ')} {100 * value:.2f} %" for key, value in accuracies.items())
        console.say(f"{metrics.workload}: {metrics.epochs} epochs in {metrics.seconds:.0f} s{shown}; wrote {out}")
    if json:
        summary = {"workload": metrics.workload, "epochs": metrics.epochs, "seconds": metrics.seconds}
        console.write_json(json, records, summary)
