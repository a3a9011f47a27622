"""`hwsim simulate`: a graph on images."""

import time
from pathlib import Path
from typing import Annotated

import typer

from hwsim import console
from hwsim.cli._options import Json, Threads
from hwsim.record import Record

EXAMPLE = "hwsim simulate deit_tiny.safetensors --input images.npy --out logits.npz"


def simulate(
    graph: Annotated[Path, typer.Argument(help="A graph file of `hwsim trace`.")],
    images: Annotated[Path, typer.Option("--input", help="A .npy file with images (images, C, H, W).")],
    out: Annotated[Path | None, typer.Option("--out", help="Write the values as .npz.")] = None,
    keep: Annotated[list[str] | None, typer.Option("--keep", help="Also keep this node's value; repeatable.")] = None,
    threads: Threads = None,
    json: Json = None,
) -> None:
    """Run a graph on images: integers where the graph has them, the same bits for any number of threads."""
    import numpy as np

    from hwsim import simulator, store
    from hwsim.tensors import read_array, write_arrays

    loaded = store.load(graph)
    feeds = simulator.as_codes(loaded, {loaded.inputs[0]: read_array(images)})
    start = time.perf_counter()
    with console.progress("simulating") as advance:
        values = simulator.simulate(loaded, feeds, keep or (), threads=threads, progress=advance)
    seconds = time.perf_counter() - start
    logits = values[loaded.outputs[0]]
    if out:
        write_arrays(values, out)
    classes = np.argmax(logits, axis=1)
    records = [Record(loaded.name, "seconds", seconds, "s", source="measured")]
    if json != "-":
        console.say(f"{loaded.name}: {len(logits)} images in {seconds:.2f} s")
        console.say(f"classes: {' '.join(map(str, classes[:20]))}{' ...' if len(classes) > 20 else ''}")
        for name, value in values.items():
            console.say(f"{name}: {value.dtype} {value.shape}, {value.min():.6g} .. {value.max():.6g}")
    if json:
        console.write_json(json, records, {"graph": loaded.name, "classes": classes.tolist()})
