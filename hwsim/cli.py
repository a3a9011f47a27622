"""The command line: the composition root, the one file of hwsim that may import qmodels and reports.

Exit codes: 0 done, 1 a check failed, 2 bad input (one line `error: ...` on stderr; a traceback only with --debug).
Heavy imports stand inside the commands, so that `hwsim --help` loads neither torch, numba nor matplotlib.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from hwsim import console
from hwsim.errors import HwsimError
from hwsim.record import Record

app = typer.Typer(
    name="hwsim",
    help="Hardware simulator and cost model for quantized Vision Transformers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

Json = Annotated[str | None, typer.Option("--json", metavar="FILE|-", help="Also write the result as JSON.")]
Wbits = Annotated[int, typer.Option("--wbits", help="Bits of the weights: 1..8, or 32 for float.")]
Abits = Annotated[int, typer.Option("--abits", help="Bits of the activations: 1..8, or 32 for float.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Worker threads; all cores by default.")]
SUITE = "q-vit"
AUDIT_BITS = (4, 3, 2)


def main() -> None:
    """Run the command line and exit."""
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    sys.exit(run(arguments, debug=debug))


def run(arguments: list[str], *, debug: bool = False) -> int:
    """Run one command; the exit code. With `debug`, errors keep their traceback."""
    try:
        code = int(typer.main.get_command(app).main(arguments, prog_name="hwsim", standalone_mode=False) or 0)
    except HwsimError as error:
        if debug:
            raise
        return _fail(str(error))
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except typer.Exit as stop:
        code = int(stop.exit_code)
    except Exception as error:
        usage = getattr(error, "format_message", None)  # a wrong option or argument
        if debug or usage is None:
            raise
        return _fail(f"{usage()} (see hwsim {' '.join(arguments[:1])} --help)")
    return _fail("interrupted; nothing was left half written", code) if code == 130 else code


def _fail(message: str, code: int = 2) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return code


@app.command(epilog="Example: hwsim reproduce --out out/q-vit")
def reproduce(
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")],
    suite: Annotated[str, typer.Argument(help="What to reproduce.")] = SUITE,
    threads: Threads = None,
    json: Json = None,
) -> None:
    """The main job: audit the paper's claims, compare integers with fake quant on real images, write a report."""
    import workloads
    from hwsim.catalog import unknown
    from hwsim.cost import audit
    from hwsim.files import check_folder
    from qmodels import evidence
    from reports.report import write_report

    if suite != SUITE:
        raise unknown("suite", suite, (SUITE,))
    check_folder(out)
    start = time.perf_counter()
    records: list[Record] = []
    with console.progress("tracing models") as advance:
        rows = _suite_rows(audit.needed(), records, advance)
    records += audit.audit_qvit(rows)
    records.append(_seconds("tracing and costs", start))
    for name in ("digits_w4a4", "digits_w2a2"):
        began = time.perf_counter()
        with console.progress(f"{name}: integers against fake quant") as advance:
            records += evidence.agreement(workloads.find(name), threads=threads, progress=advance)
        records.append(_seconds(name, began))
    records += _versions()
    records.append(_seconds("total before the report", start))
    began = time.perf_counter()
    files = write_report(records, out)
    _print_tables(records, ("claims", "agreement"))
    if json:
        console.write_json(json, records, {"suite": suite, "out": str(out)})
    differ = sum(_number(r) for r in records if r.metric == "codes_mismatched" and r.tag("dtype") == "float64")
    compared = sum(_number(r) for r in records if r.metric == "codes_compared" and r.tag("dtype") == "float64")
    console.say(f"{differ:,.0f} of {compared:,.0f} codes differ between integers and fake quant in float64.")
    console.say(f"{len(files)} files in {out} ({time.perf_counter() - began:.0f} s): open {out / 'report.html'}")
    if differ:
        raise typer.Exit(1)


def _suite_rows(names: tuple[str, ...], records: list[Record], advance: console.Advance) -> dict[str, Any]:
    """Rows of work of each model, traced once at W4A4; the costs of those that are not distilled go to `records`."""
    import workloads
    from hwsim.cost.memory import peak_activations
    from hwsim.cost.overview import overview
    from hwsim.cost.work import work
    from qmodels import evidence

    rows: dict[str, Any] = {}
    for index, name in enumerate(names):
        advance(index, len(names))
        workload = workloads.find(f"{name}_w4a4")
        graph = evidence.skeleton_of(workload)
        rows[name] = work(graph)
        if "distilled" not in name:
            records += overview(name, workload.model.label, rows[name], (32, *AUDIT_BITS), peak_activations(graph), 4)
    advance(len(names), len(names))
    return rows


def _seconds(stage: str, start: float) -> Record:
    return Record("reproduce", "seconds", round(time.perf_counter() - start, 2), "s", node=stage, source="measured")


def _versions() -> list[Record]:
    from importlib.metadata import version

    names = ("hwsim", "torch", "timm", "numba", "numpy", "scikit-learn")
    return [Record("reproduce", "version", version(name), "", node=name, source="measured") for name in names]


def _number(record: Record) -> float:
    assert not isinstance(record.value, str)
    return float(record.value)


def _print_tables(records: list[Record], names: tuple[str, ...]) -> None:
    from hwsim import catalog
    from reports.table import as_rich

    screen = console.out()
    for name in names:
        table = catalog.find("reports.tables", name)(records)
        if table is not None:
            screen.print(as_rich(table))


@app.command(epilog="Example: hwsim cost deit_small_patch16_224 --wbits 4 --abits 4 --convention bitops_wa")
def cost(
    model: Annotated[str, typer.Argument(help="A model, see `hwsim list models`.")],
    wbits: Wbits = 4,
    abits: Abits = 4,
    convention: Annotated[list[str] | None, typer.Option("--convention", help="A counting rule; repeatable.")] = None,
    per_layer: Annotated[bool, typer.Option("--per-layer", help="One row per node instead of per group.")] = False,
    json: Json = None,
) -> None:
    """What one image costs: operations, bit operations, size and memory, by named counting rules."""
    from hwsim.cost.memory import parameter_bytes, peak_activations
    from hwsim.cost.table import find, tally
    from hwsim.cost.work import work
    from qmodels import evidence

    names = convention or ["macs", "swin_flops", "bireal_ladder", "bitops_wa", "size_bidet"]
    for name in names:
        find(name)
    workload = _workload(model, wbits, abits)
    with console.progress(f"tracing {model}") as advance:
        advance(0, 1)
        graph = evidence.skeleton_of(workload)
    rows = work(graph)
    tables = [tally(rows, name) for name in names]
    peak = peak_activations(graph)
    tags = (("wbits", str(wbits)), ("abits", str(abits)))
    records = [record for table in tables for record in table.records(model, tags)]
    summary = {
        "model": model,
        "wbits": wbits,
        "abits": abits,
        "parameters": graph.meta["parameters"],
        "parameter_bytes": parameter_bytes(rows),
        "peak_activation_bytes": peak.bytes,
        "peak_activation_node": peak.node,
    }
    if json != "-":
        _show_costs(tables, f"{workload.model.label} W{wbits}A{abits}, one image", per_layer)
        console.say(f"{graph.meta['parameters']:,} parameters in {parameter_bytes(rows) / 1e6:.3f} MB.")
        console.say(f"At most {peak.bytes / 1e6:.3f} MB of activations alive, at {peak.node}.")
    if json:
        console.write_json(json, records, summary)


def _show_costs(tables: list[Any], title: str, per_layer: bool) -> None:
    from reports.style import engineering
    from reports.table import Table, as_rich

    columns = (*(f"{table.name} [{table.unit}]" for table in tables),)
    if per_layer:
        rows = [
            (row.node, *(engineering(table.amounts[index], "") for table in tables))
            for index, row in enumerate(tables[0].rows)
            if any(table.amounts[index] for table in tables)
        ]
    else:
        groups = [table.by_group() for table in tables]
        rows = [(group, *(engineering(g[group], "") for g in groups)) for group in groups[0]]
    rows.append(("total", *(engineering(table.total, "") for table in tables)))
    shown = Table(title, ("node" if per_layer else "group", *columns), tuple(rows))
    console.out().print(as_rich(shown))


def _workload(model: str, wbits: int, abits: int) -> Any:
    import workloads
    from workloads import models
    from workloads.bits import Bits

    models.find(model)
    Bits(wbits, abits)
    return workloads.find(f"{model}_w{wbits}a{abits}")


@app.command(epilog="Example: hwsim claims --json -")
def claims(json: Json = None) -> None:
    """Q-ViT's efficiency claims: printed figure, ours, counting rule, status, relative error."""
    from hwsim.cost import audit
    from hwsim.cost.work import work
    from qmodels import evidence

    rows = {}
    with console.progress("tracing models") as advance:
        for index, name in enumerate(audit.needed()):
            advance(index, len(audit.needed()))
            rows[name] = work(evidence.skeleton_of(_workload(name, 4, 4)))
    records = list(audit.audit_qvit(rows))
    if json != "-":
        _print_tables(records, ("claims",))
    if json:
        console.write_json(json, records, {"claims": len(records)})


@app.command(epilog="Example: hwsim train --workload digits_w4a4 --out my_w4a4.safetensors")
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


@app.command(epilog="Example: hwsim verify my_w4a4.safetensors --limit 100")
def verify(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint of `hwsim train`.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder ROOT/SPLIT/CLASS/IMAGE; digits need none.")
    ] = None,
    split: Annotated[str, typer.Option("--split", help="Which images.")] = "test",
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many images.")] = None,
    threads: Threads = None,
    json: Json = None,
) -> None:
    """Fake quant against integers, code by code; exit code 1 where a code differs in float64."""
    import workloads
    from qmodels import checkpoint as checkpoints
    from qmodels import evidence

    found = workloads.find(checkpoints.read(checkpoint)[1]["workload"])
    with console.progress("verify") as advance:
        records = list(
            evidence.agreement(
                found, checkpoint, root=data, limit=limit, split=split, threads=threads, progress=advance
            )
        )
    if json != "-":
        _print_tables(records, ("agreement",))
    exact = [r for r in records if r.metric == "codes_mismatched" and r.tag("dtype") == "float64"]
    differ = sum(_number(record) for record in exact)
    if json:
        console.write_json(json, records, {"workload": found.name, "mismatched_float64": differ})
    if differ:
        raise typer.Exit(1)


@app.command(epilog="Example: hwsim trace deit_tiny_patch16_224 --wbits 4 --abits 4 --out deit_tiny.safetensors")
def trace(
    model: Annotated[str, typer.Argument(help="A model, a workload, or a checkpoint file.")],
    out: Annotated[Path | None, typer.Option("--out", help="Write the graph to this file.")] = None,
    wbits: Wbits = 4,
    abits: Abits = 4,
    graphml: Annotated[Path | None, typer.Option("--graphml", help="Write the topology as GraphML.")] = None,
) -> None:
    """Trace a model into its op graph; print the listing, or write the graph file."""
    import workloads
    from hwsim import store
    from qmodels import checkpoint as checkpoints
    from qmodels import evidence

    checkpoint = Path(model) if Path(model).suffix or Path(model).exists() else None
    if checkpoint:
        found = workloads.find(checkpoints.read(checkpoint)[1]["workload"])
    else:
        found = workloads.find(model) if model in workloads.names() else _workload(model, wbits, abits)
    graph = evidence.graph_of(found, checkpoint)
    if out:
        store.save(graph, out)
        console.say(f"{graph.name}: {len(graph.nodes)} nodes, wrote {out}")
    if graphml:
        import io

        import networkx

        from hwsim.files import write_bytes

        buffer = io.BytesIO()
        networkx.write_graphml(graph.to_networkx(), buffer)
        write_bytes(buffer.getvalue(), graphml)
    if not out and not graphml:
        print(graph)


@app.command(epilog="Example: hwsim simulate deit_tiny.safetensors --input images.npy --out logits.npz")
def simulate(
    graph: Annotated[Path, typer.Argument(help="A graph file of `hwsim trace`.")],
    images: Annotated[Path, typer.Option("--input", help="A .npy file with images (images, C, H, W).")],
    out: Annotated[Path | None, typer.Option("--out", help="Write the values as .npz.")] = None,
    keep: Annotated[list[str] | None, typer.Option("--keep", help="Also keep this node's value; repeatable.")] = None,
    threads: Threads = None,
    json: Json = None,
) -> None:
    """Run a graph on images: integers where the graph has them, bit for bit the same on every machine."""
    import numpy as np

    from hwsim import simulator, store
    from hwsim.tensors import read_array, write_arrays

    loaded = store.load(graph)
    feeds = {loaded.inputs[0]: read_array(images)}
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


@app.command(epilog="Example: hwsim report out/q-vit/records.jsonl --out out/again")
def report(
    records: Annotated[Path, typer.Argument(help="A records.jsonl file.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")],
) -> None:
    """Tables and figures again, from stored records."""
    from hwsim.record import read_records
    from reports.report import write_report

    files = write_report(read_records(records), out)
    console.say(f"{len(files)} files in {out}: open {out / 'report.html'}")


@app.command(epilog="Example: hwsim doctor")
def doctor(json: Json = None) -> None:
    """Versions, how torchvision was loaded, the CPU, and whether the kernels compile and compute exactly."""
    import os
    import platform

    from hwsim.kernels.check import check_kernels

    facts = {"python": platform.python_version(), "machine": platform.machine(), "cores": str(os.cpu_count())}
    facts.update((record.node, str(record.value)) for record in _versions())
    try:
        from qmodels import torchvision_shim

        facts["torchvision"] = torchvision_shim.STATUS
    except ImportError as error:
        facts["torchvision"] = f"not installed ({error.name})"
    facts.update(check_kernels())
    if json != "-":
        for key, value in facts.items():
            console.say(f"{key:14} {value}")
    if json:
        console.write_json(json, (), facts)


@app.command("list", epilog="Example: hwsim list models")
def list_names(
    kind: Annotated[str, typer.Argument(help="models, methods, conventions, workloads or operators.")],
) -> None:
    """What there is."""
    import workloads
    from hwsim import catalog
    from workloads import models

    known: dict[str, Callable[[], tuple[str, ...]]] = {
        "models": models.names,
        "methods": lambda: catalog.names("qmodels.methods"),
        "conventions": lambda: catalog.names("hwsim.cost.conventions"),
        "workloads": workloads.names,
        "operators": lambda: catalog.names("hwsim.ops"),
    }
    if kind not in known:
        raise catalog.unknown("list", kind, known)
    for name in known[kind]():
        console.say(name)


if __name__ == "__main__":
    main()
