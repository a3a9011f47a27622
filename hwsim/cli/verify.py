"""`hwsim verify`: fake quant against integers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim import console
from hwsim.cli import _activity
from hwsim.cli._answer import Answer
from hwsim.cli._checkpoint import checkpoint_of
from hwsim.cli._options import SCALE, Json, ResidualBits, Scheduler, Threads
from hwsim.cli._scale import gather, kept_shards, workers_of
from hwsim.errors import HwsimError

if TYPE_CHECKING:
    from torch import Tensor

    from hwsim.graph import Graph
    from hwsim.lower.report import Verdict
    from qmodels.evidence import Evidence
    from qmodels.tolerance import Tolerance
    from qmodels.what_if import WhatIf

EXAMPLE = "hwsim verify digits_w4a4 --form integer --recipe lut --limit 100 --min-agreement 0.95"
RECIPE = "lut"
CALIBRATION_IMAGES = 64
_STUDY, _LIMITS, _OUTPUT = "What if", "Limits: exit code 1 beyond them", "Output"


def verify(
    checkpoint: Annotated[str, typer.Argument(help="A checkpoint of `hwsim train`, or a workload that has one.")],
    form: Annotated[str, typer.Option("--form", help="mixed (float islands), or integer (no float left).")] = "mixed",
    recipe: Annotated[str | None, typer.Option("--recipe", help="Of the integer form: name or file; lut.")] = None,
    residual_bits: ResidualBits = None,
    calibration_images: Annotated[
        int | None,
        typer.Option("--calibration-images", min=1, help="Training images for the integer form's scales; 64."),
    ] = None,
    fold: Annotated[
        bool,
        typer.Option("--fold-input-scales", help="Mend layers with one scale per input channel, and say what it cost."),
    ] = False,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder ROOT/SPLIT/CLASS/IMAGE, or hf:SOURCE; digits need none.")
    ] = None,
    split: Annotated[str, typer.Option("--split", help="Which images.")] = "test",
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many images.")] = None,
    max_mismatch: Annotated[
        float | None,
        typer.Option("--max-mismatch", help="Share of codes; 0 for the mixed form.", rich_help_panel=_LIMITS),
    ] = None,
    min_agreement: Annotated[
        float | None, typer.Option("--min-agreement", help="Share of predictions.", rich_help_panel=_LIMITS)
    ] = None,
    max_kl: Annotated[
        float | None, typer.Option("--max-kl", help="KL divergence of the predictions, nat.", rich_help_panel=_LIMITS)
    ] = None,
    acc_bits: Annotated[
        int | None,
        typer.Option("--acc-bits", min=2, max=32, help="Width of accumulators.", rich_help_panel=_STUDY),
    ] = None,
    overflow: Annotated[
        str | None, typer.Option("--overflow", help="wrap (default), saturate or error.", rich_help_panel=_STUDY)
    ] = None,
    tile_k: Annotated[
        int | None, typer.Option("--tile-k", min=1, help="Products summed at once.", rich_help_panel=_STUDY)
    ] = None,
    flip: Annotated[
        list[str] | None,
        typer.Option("--flip", help="node:bit:rate, repeatable.", metavar="FAULT", rich_help_panel=_STUDY),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of the flips; 0.", rich_help_panel=_STUDY)] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            min=1,
            help="Worker processes; 1 is this one. Finished shards are kept, so that a killed run goes on from there.",
            rich_help_panel=SCALE,
        ),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option("--backend", help="Of the workers: loky (default), dask or ray.", rich_help_panel=SCALE),
    ] = None,
    scheduler: Scheduler = None,
    shard_images: Annotated[
        int | None, typer.Option("--shard-images", min=1, help="Images handed out at once; 32.", rich_help_panel=SCALE)
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume", help="Folder of finished shards; with --jobs, ~/.cache/hwsim/verify.", rich_help_panel=SCALE
        ),
    ] = None,
    per_node: Annotated[
        bool, typer.Option("--per-node", help="Show every node, not only the worst.", rich_help_panel=_OUTPUT)
    ] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Say of every node whether it is integer.", rich_help_panel=_OUTPUT)
    ] = False,
    save_divergence: Annotated[
        Path | None,
        typer.Option(
            "--save-divergence",
            help="Where the first node that differs goes, with its inputs (.npz); beside --records or --json.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    activity: Annotated[
        Path | None,
        typer.Option(
            "--activity",
            help="Measure the graph's codes (zeros, bits, toggles) for `hwsim estimate`, in a pass of its own here; JSON.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    records: Annotated[
        Path | None, typer.Option("--records", help="JSON lines for `hwsim report`.", rich_help_panel=_OUTPUT)
    ] = None,
    threads: Threads = None,
    json: Json = None,
) -> None:
    """Fake quant against integers, code by code; exit code 1 where a limit is exceeded.

    The mixed form must make every code that fake quant makes in float64. With --acc-bits or --flip it is a what-if,
    shown beside the graph as it is.
    """
    from hwsim.files import check_writable
    from hwsim.record import write_records
    from qmodels import data as datasets
    from qmodels.evidence import subject_of
    from qmodels.sharding import job_of

    integer = _is_integer(form, recipe, residual_bits, calibration_images)
    what_if = _what_if(acc_bits, overflow, tile_k, flip, seed)
    for option, given in (("save_divergence", save_divergence), ("activity", activity)):
        if what_if and given:
            raise HwsimError(f"{option}: is of the graph as it is, got a what-if; leave out --acc-bits and --flip")
    tolerance = _tolerance(max_mismatch, min_agreement, max_kl, strict=not (integer or what_if))
    for path in (save_divergence, activity, records):
        if path:
            check_writable(path)
    workers = workers_of(jobs, backend, scheduler, threads)
    workload, file = checkpoint_of(checkpoint)
    batches = datasets.batches(workload, split, data, limit)
    subject = subject_of(workload, file, fold)
    if subject.folds and json != "-":
        console.say(str(subject.folds))
    if integer:
        calibration, _ = datasets.load(workload, "train", data, calibration_images or CALIBRATION_IMAGES)
        with console.progress("calibrate") as advance:
            subject = subject.lowered(recipe or RECIPE, calibration, threads, advance, residual_bits=residual_bits)
    job = job_of(subject, batches, file, data, split, what_if)
    kept = kept_shards(job, batches, shard_images, resume) if jobs or resume else None
    seen = gather(subject, batches, job, workers, kept, shard_images)
    verdicts = _verdicts(subject.graph, next(iter(batches))[0]) if report else ()
    measured = _activity.measured(subject.graph, batches, threads) if activity else None
    result = Path(json) if json and json != "-" else None
    beside = None if integer else records or result
    answer = Answer(
        seen, tolerance.broken(seen.report), verdicts, _keep(seen, save_divergence, beside), save_divergence
    )
    if records:
        write_records(answer.records(), records)
    if measured and activity:
        measured.write(activity)
    if json != "-":
        answer.show(per_node)
        if measured:
            _activity.show(measured, subject.graph)
    if json:
        console.write_json(json, answer.records(), answer.summary())
    if kept:
        kept.forget()
    answer.tell_failures()


def _is_integer(form: str, recipe: str | None, residual_bits: int | None, calibration_images: int | None) -> bool:
    from hwsim.catalog import unknown

    if form not in ("mixed", "integer"):
        raise unknown("form", form, ("mixed", "integer"))
    if form == "mixed" and (recipe or residual_bits or calibration_images):
        raise HwsimError(
            "recipe, residual_bits and calibration_images: are of the integer form, got the mixed; give --form integer"
        )
    return form == "integer"


def _what_if(
    acc_bits: int | None, overflow: str | None, tile_k: int | None, flip: list[str] | None, seed: int | None
) -> "WhatIf | None":
    from qmodels.what_if import WhatIf

    if acc_bits is None and (overflow or tile_k):
        raise HwsimError("overflow and tile_k: are of narrow accumulators, got no width; give --acc-bits")
    if seed is not None and not flip:
        raise HwsimError("seed: is of flipped bits, got none; give --flip")
    return WhatIf(acc_bits, overflow or "wrap", tile_k or 0, tuple(flip or ()), seed or 0) or None


def _tolerance(
    max_mismatch: float | None, min_agreement: float | None, max_kl: float | None, strict: bool
) -> "Tolerance":
    """The limits given; no code may differ where it is `strict` and nothing else was said."""
    from qmodels.tolerance import Tolerance

    return Tolerance(0.0 if strict and max_mismatch is None else max_mismatch, min_agreement, max_kl)


def _verdicts(graph: "Graph", images: "Tensor") -> "tuple[Verdict, ...]":
    from hwsim.lower.report import integer_report
    from hwsim.simulator import as_codes

    with console.progress("measuring distances") as advance:
        feeds = as_codes(graph, {graph.inputs[0]: images.numpy()})
        return integer_report(graph, feeds, progress=advance)


def _keep(seen: "Evidence", given: Path | None, beside: Path | None) -> Path | None:
    """Write the divergence, where there is one, to the file given, or beside another; where it went."""
    path = given or (beside.with_name(f"{beside.stem}_divergence.npz") if beside else None)
    if seen.report.divergence is None or path is None:
        return None
    seen.report.divergence.save(path)
    return path
