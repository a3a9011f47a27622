"""`hwsim simulate`: a graph on images."""

import time
from pathlib import Path
from typing import Annotated

import typer

from hwsim import console
from hwsim.cli import _activity
from hwsim.cli._options import Json, Threads
from hwsim.record import Record

EXAMPLE = "hwsim simulate deit_tiny.safetensors --input images.npy --out logits.npz"

INPUT = (
    ".npy with images (images, C, H, W): floats, normalised as in training, "
    "or codes of the input's grid for an integer graph"
)


def simulate(
    graph: Annotated[Path, typer.Argument(help="A graph file of `hwsim trace`.")],
    images: Annotated[Path, typer.Option("--input", help=INPUT)],
    out: Annotated[Path | None, typer.Option("--out", help="Write the values as .npz.")] = None,
    reals: Annotated[
        bool, typer.Option("--reals", help="Also write the reals that codes stand for, as NAME.real.")
    ] = False,
    keep: Annotated[list[str] | None, typer.Option("--keep", help="Also keep this node's value; repeatable.")] = None,
    activity: Annotated[
        Path | None,
        typer.Option("--activity", help="Measure the codes (zeros, bits, toggles) for `hwsim estimate`; JSON."),
    ] = None,
    threads: Threads = None,
    json: Json = None,
) -> None:
    """Run a graph on images: integers where the graph has them, the same bits for any number of threads."""
    import numpy as np

    from hwsim import simulator, store
    from hwsim.files import check_writable
    from hwsim.spec import describe
    from hwsim.study.activity import Measure
    from hwsim.tensors import read_array, write_arrays

    if activity:
        check_writable(activity)
    loaded = store.load(graph)
    feeds = simulator.as_codes(loaded, {loaded.inputs[0]: read_array(images)})
    measure = Measure(loaded) if activity else None
    start = time.perf_counter()
    with console.progress("simulating") as advance:
        execute = measure or simulator.run_node
        values = simulator.simulate(loaded, feeds, keep or (), threads=threads, progress=advance, execute=execute)
    seconds = time.perf_counter() - start
    logits = values[loaded.outputs[0]]
    grids = {name: loaded.specs[name].quant for name in values}
    if out:
        extra = {f"{name}.real": quant.to_real(values[name]) for name, quant in grids.items() if reals and quant}
        write_arrays({**values, **extra}, out)
    seen = measure.activity(simulator.check_feeds(loaded, feeds)) if measure else None
    if seen and activity:
        seen.write(activity)
    classes = np.argmax(logits, axis=1)
    records = [Record(loaded.name, "seconds", seconds, "s", source="measured")]
    if json != "-":
        console.say(f"{loaded.name}: {len(logits)} images in {seconds:.2f} s")
        console.say(f"classes: {' '.join(map(str, classes[:20]))}{' ...' if len(classes) > 20 else ''}")
        for name, value in values.items():
            line = f"{name}: {value.dtype} {value.shape}, {value.min():.6g} .. {value.max():.6g}"
            if quant := grids[name]:
                real = quant.to_real(value)
                line += f"; {describe(quant)}: reals {real.min():.6g} .. {real.max():.6g}"
            console.say(line)
        if seen:
            _activity.show(seen, loaded)
    if json:
        console.write_json(json, records, {"graph": loaded.name, "classes": classes.tolist()})
