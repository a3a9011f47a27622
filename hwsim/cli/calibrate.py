"""`hwsim calibrate`: from a float model and some images to a quantized checkpoint, without training."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim import console
from hwsim.cli._checkpoint import need_unfinished
from hwsim.cli._options import Json, LayerBitsFile, Method, Preset, ResumeState, TrainingData, changes_of
from hwsim.record import Record

if TYPE_CHECKING:
    from qmodels.ptq import Outcome, Progress

EXAMPLE = "hwsim calibrate --workload digits_w4a4 --method repqvit --out my_w4a4.safetensors"


def calibrate(
    workload: Annotated[str, typer.Option("--workload", help="Any workload, see `hwsim list workloads`.")],
    out: Annotated[Path, typer.Option("--out", help="The checkpoint to write.")],
    method: Method = None,
    preset: Preset = "deployable",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="A switch of the method, or STEP.FIELD of its steps; repeatable."
        ),
    ] = None,
    images: Annotated[int, typer.Option("--images", min=1, help="Training images that calibrate, drawn by seed.")] = 32,
    sample: Annotated[
        int | None,
        typer.Option("--sample", min=1, help="On how many of them grids are searched; at most 32 if not said."),
    ] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", min=1, help="Images that run at once; 32 at most if not said.")
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option("--teacher", metavar="FILE|pretrained|random", help="The float weights, if not the shipped ones."),
    ] = None,
    layer_bits: LayerBitsFile = None,
    size_mb: Annotated[
        float | None,
        typer.Option(
            "--size-mb", help="Choose widths of attentions and MLPs so that the model has at most so many MB."
        ),
    ] = None,
    bops_g: Annotated[
        float | None, typer.Option("--bops-g", help="The same within so many 10^9 bit operations per image.")
    ] = None,
    candidates: Annotated[
        str | None, typer.Option("--candidates", metavar="4,5,6", help="Widths to choose from, if not the usual ones.")
    ] = None,
    data: TrainingData = None,
    resume: ResumeState = False,
    limit: Annotated[
        int | None, typer.Option("--limit", min=0, help="Test images to judge by; 0 for none, by default all.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the images, and of all that is drawn.")] = 0,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Of torch; by default all cores.")] = None,
    json: Json = None,
) -> None:
    """Quantize a float model after its training: search its grids on some images, unit by unit; write a checkpoint."""
    import workloads
    from hwsim.accel.layer_bits import LayerBits
    from hwsim.errors import HwsimError
    from hwsim.files import check_writable

    found, changes = workloads.find(workload), changes_of(settings or ())
    check_writable(out)
    need_unfinished(out, resume)
    import torch

    from qmodels import ptq

    widths, own = (dict(LayerBits.read(layer_bits).widths) if layer_bits else None), _numbers(candidates)
    budgets = {key: value for key, value in (("size_mb", size_mb), ("bops_g", bops_g)) if value is not None}
    if own and not budgets:
        raise HwsimError(
            f"--candidates: are chosen from within a budget, got {candidates} alone; pass --size-mb or --bops-g"
        )
    if threads:
        torch.set_num_threads(threads)
    with console.progress(f"calibrating {workload}") as advance:

        def tell(p: "Progress") -> None:
            advance(round(1000 * p.share), 1000, f"stage {p.stage} of {p.stages}, {p.unit}" if p.unit else "")

        outcome = ptq.calibrate(
            found,
            out=out,
            method=method,
            preset=preset,
            changes=changes,
            images=images,
            sample=sample,
            batch=batch,
            seed=seed,
            teacher=teacher,
            root=data,
            layer_bits=widths,
            budgets=budgets,
            candidates=own,
            resume=resume,
            progress=tell,
        )
    if resume and not outcome.resumed and json != "-":
        console.say(f"{out}: no calibration was begun there, so this one began at the beginning")
    _tell(outcome, out, _accuracy(outcome, data, limit), json)


def _numbers(text: str | None) -> tuple[int, ...] | None:
    """The whole numbers in `text`, between commas; None without it."""
    from hwsim.errors import HwsimError

    try:
        return None if text is None else tuple(int(part) for part in text.split(","))
    except ValueError:
        raise HwsimError(f"--candidates: must be whole numbers between commas, got {text!r}; as in 4,5,6") from None


def _accuracy(outcome: "Outcome", root: Path | None, limit: int | None) -> tuple[str, float] | None:
    """The split that judges, and the share of its images, at most `limit`, that the model classifies rightly.

    None where none is asked for, or a folder has neither a test nor a validation split.
    """
    from qmodels import data
    from qmodels.evaluation import streamed_accuracy

    there = data.splits(outcome.workload, root)
    splits = [split for split in ("test", "validation") if split in there]
    if limit == 0 or not splits:
        return None
    batches = data.batches(outcome.workload, splits[0], root, limit)
    with console.progress("judging") as advance:
        return splits[0], streamed_accuracy(outcome.model, batches, lambda done: advance(done, batches.images))


def _tell(outcome: "Outcome", out: Path, judged: tuple[str, float] | None, json: str | None) -> None:
    """What the calibration came to, as a line and as JSON."""
    name, mib = outcome.workload.name, outcome.peak.bytes / 2**20
    records = [Record(name, "calibration_seconds", outcome.seconds, "s", source="measured"), *_noted(outcome)]
    said = ""
    if judged is not None:
        split, accuracy = judged
        records.append(Record(name, f"{split}_accuracy", accuracy, "fraction", source="measured"))
        said = f", {split} accuracy {100 * accuracy:.2f} %"
    if json != "-":
        if outcome.allocation is not None:
            console.say(str(outcome.allocation))
        for line in _tuned(outcome):
            console.say(line)
        console.say(
            f"{name}: calibrated on {outcome.settings.images} images in {outcome.seconds:.0f} s, at most {mib:.0f} MiB"
            f"{said}; wrote {out}"
        )
    if json:
        summary: dict[str, object] = {
            "workload": name,
            "images": outcome.settings.images,
            "seconds": outcome.seconds,
            "peak_mib": mib,
        }
        if outcome.allocation is not None:
            summary["allocation"] = outcome.allocation.as_json()
        console.write_json(json, records, summary)


def _noted(outcome: "Outcome") -> list[Record]:
    """What steps found, by unit and stage."""
    found = []
    for key, figure in outcome.notes.items():
        stage, unit, name = key.split("/")
        found.append(Record(outcome.workload.name, name, figure, "", unit, source="measured", tags=(("stage", stage),)))
    return found


def _tuned(outcome: "Outcome") -> list[str]:
    """A line for each stage that tuned units: how much nearer to the float model they came."""
    falls: dict[str, list[float]] = {}
    for key, after in outcome.notes.items():
        if key.endswith("_after"):
            before = outcome.notes[key.removesuffix("_after") + "_before"]
            falls.setdefault(key.partition("/")[0], []).append(1 - after / before if before else 0.0)
    return [
        f"stage {stage}: {sum(fall > 0 for fall in found)} of {len(found)} units came nearer to the float model, by "
        f"{100 * min(found):.0f} to {100 * max(found):.0f} % of their squared distance"
        for stage, found in falls.items()
    ]
