"""`hwsim compare`: post-training methods side by side."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from hwsim import console
from hwsim.cli._options import Json, TrainingData, changes_of, workload_of
from hwsim.errors import HwsimError

if TYPE_CHECKING:
    from hwsim.record import Record
    from workloads.bits import Bits

EXAMPLE = "hwsim compare --workload digits_deit --methods ptq_minmax,repqvit --bits 8,4 --seeds 0,1,2 --out results"
T = TypeVar("T")


def compare(
    workload: Annotated[str, typer.Option("--workload", help="A model, or a workload, of which the model is taken.")],
    method: Annotated[
        str, typer.Option("--methods", metavar="A,B", help="Post-training methods, `hwsim list methods`.")
    ],
    bits: Annotated[str, typer.Option("--bits", metavar="8,w4a8", help="Widths: of both sides, or as w4a8.")],
    out: Annotated[Path, typer.Option("--out", help="The folder of the results; what it holds is not made again.")],
    seeds: Annotated[
        str, typer.Option("--seeds", metavar="0,1", help="Each draws calibration images of its own.")
    ] = "0",
    images: Annotated[int, typer.Option("--images", min=1, help="Training images that calibrate.")] = 32,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="METHOD.KEY=VALUE", help="Of one method, KEY as for `hwsim calibrate`; repeatable."
        ),
    ] = None,
    data: TrainingData = None,
    teacher: Annotated[
        str | None,
        typer.Option("--teacher", metavar="FILE|pretrained|random", help="The float weights, if not the shipped ones."),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many test images.")] = None,
    integer_images: Annotated[
        int | None, typer.Option("--integer-images", min=1, help="Of them, how many are run on integers too; all.")
    ] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Of torch and the simulator.")] = 1,
    json: Json = None,
) -> None:
    """Calibrate a model by several methods on the same images, judge each by the same rules; one table.

    Accuracy of fake quant and of integers, distance from the float model, time, memory, size, operations, extra units.
    """
    from hwsim.files import check_folder
    from qmodels.contest import FLOAT, STUDY, Comparison
    from qmodels.side_by_side import Progress, finished
    from qmodels.side_by_side import compare as side_by_side

    check_folder(out)
    comparison = Comparison(
        workload_of(workload, None, None),
        _listed("--methods", method, str),
        _listed("--bits", bits, _bits),
        _listed("--seeds", seeds, _seed),
        images,
        teacher,
        data,
        limit,
        integer_images,
        tuple(changes_of(settings or (), "isvit.reconstruct.iterations=200").items()),
    )
    import torch

    torch.set_num_threads(threads)
    count, before = len(comparison.names), len(finished(comparison, out))
    if json != "-":
        console.say(f"{comparison.model}: {before} of {count} files are done in {out}")
    with console.progress(f"comparing on {comparison.model}") as advance:

        def tell(p: Progress) -> None:
            advance(round(100 * (p.done + p.share)), 100 * p.files, f"{p.name} {p.note}".strip())

        for done, (name, records) in enumerate(
            side_by_side(comparison, out, progress=tell, threads=threads), before + 1
        ):
            if json != "-":
                console.say(f"{done} of {count}: {name}{'' if name == STUDY else _told(records, name == FLOAT)}")
    rows = [record for records in finished(comparison, out).values() for record in records]
    missing = count - len(finished(comparison, out))
    if json != "-":
        _show(rows, out, missing)
    if json:
        facts = {"model": comparison.model, "out": str(out), "runs": len(comparison.runs), "missing": missing}
        console.write_json(json, rows, facts)


def _listed(option: str, text: str, of: Callable[[str], T]) -> tuple[T, ...]:
    """What the words of `text` mean, each by `of`."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise HwsimError(f"{option}: must list one or more, got {text!r}; as in `{EXAMPLE}`")
    return tuple(of(word) for word in words)


def _bits(word: str) -> "Bits":
    from workloads.bits import Bits

    return Bits(int(word), int(word)) if word.isascii() and word.isdigit() else Bits.parse(word)


def _seed(word: str) -> int:
    if not (word.isascii() and word.isdigit()):
        raise HwsimError(f"--seeds: must be whole numbers of 0 or more, got {word!r}; as in --seeds 0,1,2")
    return int(word)


def _told(records: "Iterable[Record]", floating: bool) -> str:
    """What came out of a run, in words."""
    found = {(r.metric, r.tag("split"), r.tag("mode")): r.value for r in records if not r.node}
    if ("method_undefined", "", "") in found:
        return f": left out, {found['method_undefined', '', '']}"
    accuracy = f": test accuracy {100 * float(found['method_accuracy', 'test', '']):.2f} %"
    if floating:
        return accuracy
    differ = sum(int(found["method_mismatches", "", mode]) for mode in ("node_by_node", "free_running"))
    return (
        f"{accuracy}, KL to the teacher {float(found['method_kl_divergence', '', '']):.3g} nat, {differ} codes differ, "
        f"{found['method_seconds', '', '']} s"
    )


def _show(rows: "list[Record]", out: Path, missing: int) -> None:
    from hwsim.cli._output import print_tables

    print_tables(rows, "method_comparison", "method_units", "quantizer_orderings")
    if missing:
        console.say(f"{missing} files are still in the hands of other processes")
    console.say(f"all figures: `hwsim report {out} --out FOLDER`")
