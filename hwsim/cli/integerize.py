"""`hwsim integerize`: the mixed graph becomes an integer one."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim import console
from hwsim.cli._options import Json, ResidualBits
from hwsim.errors import HwsimError

if TYPE_CHECKING:
    from hwsim.graph import Graph
    from hwsim.op import Array

EXAMPLE = "hwsim integerize digits_w4a4.graph --recipe lut --out digits_w4a4.integer"

CalibrationImages = Annotated[int, typer.Option("--images", min=1, help="How many images to calibrate on.")]


def integerize(
    graph: Annotated[Path, typer.Argument(help="A graph file of `hwsim trace`.")],
    recipe: Annotated[str, typer.Option("--recipe", help="A name of `hwsim list recipes`, or a TOML file.")] = "lut",
    out: Annotated[Path | None, typer.Option("--out", help="Write the integer graph to this file.")] = None,
    calibration: Annotated[
        Path | None, typer.Option("--calibration", help="A .npy file of images; else those of the graph's workload.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder ROOT/SPLIT/CLASS/IMAGE, or hf:SOURCE; digits need none.")
    ] = None,
    images: CalibrationImages = 64,
    residual_bits: ResidualBits = None,
    report: Annotated[
        bool, typer.Option("--report", help="Print every node: exact, own definition, inserted.")
    ] = False,
    json: Json = None,
) -> None:
    """Replace every float island by the recipe's integer operator; scales come from calibration images."""
    from hwsim import store
    from hwsim.files import check_writable
    from hwsim.lower import integerize as lower
    from hwsim.lower import recipe as recipes
    from hwsim.lower.lowering import check_mixed
    from hwsim.lower.ranges import measure
    from hwsim.lower.report import float_parts, integer_report
    from hwsim.record import Record
    from hwsim.simulator import as_codes

    chosen = recipes.find(recipe).changed(residual_bits=residual_bits)
    if out:
        check_writable(out)
    mixed = store.load(graph)
    check_mixed(mixed)
    feeds = {mixed.inputs[0]: _images(mixed, calibration, data, images)}
    with console.progress("measuring ranges") as advance:
        ranges = measure(mixed, feeds, progress=advance)
    seen = ranges[mixed.inputs[0]]
    if seen.low == seen.high:
        raise HwsimError(
            f"{mixed.name}: calibration images must differ somewhere, got {seen.low:g} alone; give real ones"
        )
    lowered = lower(mixed, chosen, ranges)
    with console.progress("measuring distances") as advance:
        verdicts = integer_report(lowered, as_codes(lowered, feeds), progress=advance)
    kinds = Counter(v.kind for v in verdicts)
    inserted = sum(v.inserted for v in verdicts)
    if out:
        store.save(lowered, out)
    records = [
        Record(lowered.name, "distance_max", v.distance_max, "real", v.node, source="measured", tags=(("op", v.op),))
        for v in verdicts
        if v.distance_max is not None
    ]
    if json != "-":
        if report:
            for v in verdicts:
                mark = "inserted " if v.inserted else ""
                far = (
                    ""
                    if v.distance_max is None
                    else f"; at most {v.distance_max:.3g} ({v.distance_steps:.3g} steps) off"
                )
                console.say(f"{v.node:40} {v.op:14} {v.kind.replace('_', ' '):14} {mark}{v.detail}{far}")
        console.say(
            f"{lowered.name}, recipe {chosen.name}: {len(mixed.nodes)} nodes became {len(lowered.nodes)}: "
            f"{kinds['exact']} exact ({inserted} of them inserted quantizers), "
            f"{kinds['own_definition']} of their own definition, {len(float_parts(lowered))} float parts"
        )
        if not_shifts := lowered.meta["not_shifts"]:
            console.say(f"no shifts, because their ratio of scales is no power of two: {', '.join(not_shifts)}")
        if out:
            console.say(f"wrote {out}")
    if json:
        summary = {"graph": lowered.name, "recipe": chosen.model_dump(), "kinds": dict(kinds), "inserted": inserted}
        summary["not_shifts"] = lowered.meta["not_shifts"]
        console.write_json(
            json,
            records,
            {**summary, "float_parts": list(float_parts(lowered)), "not_shifts": list(lowered.meta["not_shifts"])},
        )


def _images(graph: "Graph", calibration: Path | None, data: Path | None, count: int) -> "Array":
    """Images to calibrate on: of a file, or of the training split of the workload that the graph is of."""
    from hwsim.tensors import read_array

    if calibration:
        return read_array(calibration)[:count]
    name = graph.meta.get("workload")
    if not name:
        raise HwsimError(
            f"{graph.name}: calibration needs images, got a graph of no known workload; give --calibration FILE.npy"
        )
    import workloads
    from qmodels import data as datasets

    loaded, _ = datasets.load(workloads.find(str(name)), "train", data, count)
    array: Array = loaded.numpy()
    return array
