"""`hwsim cost`: what one image costs."""

from typing import Annotated, Any

import typer

from hwsim import console
from hwsim.cli._options import Abits, Ends, Json, Wbits, workload_of
from hwsim.errors import HwsimError

EXAMPLE = "hwsim cost deit_small_patch16_224 --wbits 4 --abits 4 --convention bitops_wa"
USUAL = ("macs", "swin_flops", "bireal_ladder", "bitops_wa", "size_bidet")


def cost(
    model: Annotated[str, typer.Argument(help="A model or workload, see `hwsim list models`.")],
    wbits: Wbits = 4,
    abits: Abits = 4,
    ends: Ends = 8,
    convention: Annotated[list[str] | None, typer.Option("--convention", help="A counting rule; repeatable.")] = None,
    per_layer: Annotated[bool, typer.Option("--per-layer", help="One row per node instead of per group.")] = False,
    json: Json = None,
) -> None:
    """What one image costs: operations, bit operations, size and memory, by named counting rules."""
    from hwsim.cost.memory import parameter_bytes, peak_activations
    from hwsim.cost.table import find, tally
    from hwsim.cost.work import published_parameters, work
    from qmodels import evidence

    for name in convention or ():
        find(name)
    workload = workload_of(model, wbits, abits, ends)
    wbits, abits = workload.bits.weights, workload.bits.activations
    with console.progress(f"tracing {model}") as advance:
        advance(0, 1)
        graph = evidence.skeleton_of(workload)
    rows = work(graph)
    tables, left_out = [], []
    for name in convention or USUAL:
        try:
            tables.append(tally(rows, name))
        except HwsimError as error:
            if convention:
                raise
            left_out.append(str(error))
    peak = peak_activations(graph)
    tags = (("wbits", str(wbits)), ("abits", str(abits)))
    records = [record for table in tables for record in table.records(model, tags)]
    summary = {
        "model": model,
        "wbits": wbits,
        "abits": abits,
        "parameters": published_parameters(rows),
        "parameters_with_method": graph.meta["parameters"],
        "left_out": left_out,
        "parameter_bytes": parameter_bytes(rows),
        "peak_activation_bytes": peak.bytes,
        "peak_activation_node": peak.node,
    }
    if json != "-":
        _show_costs(tables, f"{workload.model.label} W{wbits}A{abits}, one image", per_layer)
        for reason in left_out:
            console.say(f"left out: {reason}")
        extra = graph.meta["parameters"] - published_parameters(rows)
        added = f" and {extra:,} of norms that {workload.method} puts on q and k" if extra else ""
        console.say(f"{published_parameters(rows):,} parameters{added}, {parameter_bytes(rows) / 1e6:.3f} MB in all.")
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
