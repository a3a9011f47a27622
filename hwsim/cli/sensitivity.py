"""`hwsim sensitivity`: what each layer loses at each width."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim import console
from hwsim.cli._checkpoint import checkpoint_of
from hwsim.cli._options import Json, Threads
from hwsim.cli._output import print_table
from hwsim.errors import HwsimError
from hwsim.record import Record

if TYPE_CHECKING:
    from hwsim.accel.layer_bits import Widths
    from hwsim.accel.sensitivities import Sensitivities
    from qmodels.sensitivity import Whole
    from reports.table import Table

EXAMPLE = "hwsim sensitivity digits_w8a8 --out s.json --bits 2,3,4,8"
CALIBRATION_IMAGES = 64


def sensitivity(
    checkpoint: Annotated[str, typer.Argument(help="A checkpoint of `hwsim train`, or a workload that has one.")],
    out: Annotated[Path | None, typer.Option("--out", help="The sensitivity file to write.")] = None,
    of: Annotated[
        Path | None,
        typer.Option("--of", metavar="BITS", help="Instead: what a bits file loses as a whole, and its accuracy."),
    ] = None,
    bits: Annotated[
        str, typer.Option("--bits", help="Widths to measure: 4 is w4a4; w4a8 tells them apart.")
    ] = "2,3,4,8",
    loss: Annotated[str, typer.Option("--loss", help="kl (of the predictions) or mse (of the logits).")] = "kl",
    ends: Annotated[bool, typer.Option("--ends", help="Measure the patch embedding and the heads too.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many images.")] = 128,
    calibration_images: Annotated[
        int, typer.Option("--calibration-images", min=1, help="Training images for the scales.")
    ] = CALIBRATION_IMAGES,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder ROOT/SPLIT/CLASS/IMAGE, or hf:SOURCE; digits need none.")
    ] = None,
    split: Annotated[str, typer.Option("--split", help="Which images.")] = "validation",
    threads: Threads = None,
    json: Json = None,
) -> None:
    """What each layer of a quantized model loses at each width, by calibrating it alone again; for `hwsim search`."""
    from hwsim.accel.layer_bits import LayerBits
    from hwsim.files import check_writable

    choices = _choices(bits)
    if (out is None) == (of is None):
        got = "none" if out is None else "both"
        raise HwsimError(f"sensitivity: one of --out and --of is needed, got {got}; --of measures what --out led to")
    if out:
        check_writable(out)
    given = LayerBits.read(of) if of else None
    workload, file = checkpoint_of(checkpoint)
    import torch

    from qmodels import builder
    from qmodels import data as datasets
    from qmodels import sensitivity as measuring

    if threads:
        torch.set_num_threads(threads)
    model = builder.build(workload, file)
    images, labels = datasets.load(workload, split, data, limit)
    calibration, _ = datasets.load(workload, "train", data, calibration_images)
    seen = f"{len(images)} images of {split}"
    with console.progress(f"measuring {workload.name}") as advance:
        advance(0, 1)
        if given:
            widths = given.resolve(measuring.layers_of(model))
            whole = measuring.whole(model, images, labels, calibration, widths, loss)
            answer = _of_whole(workload.name, whole, measuring.LOSSES[loss][1], f"{given.source}, {seen}")
        else:
            found = measuring.measure(model, images, calibration, choices, loss=loss, ends=ends, progress=advance)
            about = f"{_WORDS[loss]} of {workload.name}, one layer at a time, {seen}, {len(calibration)} to calibrate"
            answer = _of_layers(workload.name, dataclasses.replace(found, about=about), Path(str(out)))
    if json != "-":
        answer.show()
    if json:
        console.write_json(json, answer.records, {"workload": workload.name, "split": split, "images": len(images)})


@dataclass(frozen=True, slots=True)
class _Answer:
    """What was measured: a table if it is of layers, a sentence, and every number."""

    table: "Table | None"
    sentence: str
    records: list[Record]

    def show(self) -> None:
        if self.table:
            print_table(self.table)
        console.say(self.sentence)


_WORDS = {"kl": "KL divergence of the predictions", "mse": "mean squared difference of the logits"}


def _choices(text: str) -> "tuple[Widths, ...]":
    """(a_bits, w_bits) of each width in `text`, `2,4,w4a8`; raises HwsimError."""
    from workloads.bits import Bits

    parts = [part.strip() for part in text.split(",")]
    if any(not part for part in parts):
        raise HwsimError(f"--bits: must be widths with commas between, got {text!r}; as in 2,3,4,w4a8")
    found = [Bits.parse(f"w{part}a{part}" if part.isdecimal() else part) for part in parts]
    return tuple(dict.fromkeys((bits.activations, bits.weights) for bits in found))


def _of_layers(workload: str, found: "Sensitivities", out: Path) -> _Answer:
    """Write `found` to `out`; its losses, one row per layer and one column per width, empty where it was not measured."""
    from reports.table import Table
    from workloads.bits import Bits

    found.write(out)
    columns = sorted({widths for _, losses in found.layers for widths, _ in losses}, reverse=True)
    rows = tuple(
        (name, *(f"{dict(losses)[widths]:.3g}" if widths in dict(losses) else "" for widths in columns))
        for name, losses in found.layers
    )
    heads = tuple(Bits(w, a).name for a, w in columns)
    title = f"{found.about} [{found.unit}]" if found.unit else found.about
    records = [
        Record(workload, "sensitivity", loss, found.unit, name, source="measured", tags=_tags(a, w))
        for name, losses in found.layers
        for (a, w), loss in losses
    ]
    return _Answer(Table(title, ("layer", *heads), rows), f"Wrote {out}.", records)


def _of_whole(workload: str, whole: "Whole", unit: str, seen: str) -> _Answer:
    """What a bits file loses, in a sentence."""
    sentence = (
        f"{workload} at the bits of {seen}: loses {f'{whole.loss:.4g} {unit}'.rstrip()}, accuracy "
        f"{whole.accuracy:.2%} instead of {whole.accuracy_before:.2%}; nothing was trained."
    )
    values = {
        "sensitivity": (whole.loss, unit),
        "accuracy": (whole.accuracy, "fraction"),
        "accuracy_before": (whole.accuracy_before, "fraction"),
    }
    tags = _tags("mixed", "mixed")
    records = [Record(workload, key, *value, source="measured", tags=tags) for key, value in values.items()]
    return _Answer(None, sentence, records)


def _tags(a_bits: int | str, w_bits: int | str) -> tuple[tuple[str, str], ...]:
    return ("abits", str(a_bits)), ("wbits", str(w_bits))
