"""`hwsim cost`: what one image costs."""

from typing import TYPE_CHECKING, Annotated

import typer

from hwsim import console
from hwsim.cli._options import Abits, Ends, Json, Wbits, bytes_of, conventions_of, workload_of
from hwsim.cli._output import print_table
from hwsim.errors import HwsimError

if TYPE_CHECKING:
    from hwsim.cost.convention import Convention
    from hwsim.graph import Graph
    from workloads.workload import Workload

EXAMPLE = "hwsim cost deit_small_patch16_224 --wbits 4 --abits 4 --convention bitops_wa"
USUAL = ("macs", "swin_flops", "bireal_ladder", "bitops_wa", "size_bidet")

Conventions = Annotated[
    list[str] | None,
    typer.Option("--convention", metavar="NAME|FILE.toml", help="A counting rule, or a file of one; repeatable."),
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="An option of the conventions that are named; repeatable."),
]


def cost(
    model: Annotated[str, typer.Argument(help="A model or workload, see `hwsim list models`.")],
    wbits: Wbits = None,
    abits: Abits = None,
    ends: Ends = None,
    convention: Conventions = None,
    set_: Changes = None,
    per_layer: Annotated[bool, typer.Option("--per-layer", help="One row per node instead of per group.")] = False,
    actions: Annotated[bool, typer.Option("--actions", help="Primitive actions by operand width.")] = False,
    memory: Annotated[bool, typer.Option("--memory", help="DRAM traffic, arithmetic intensity, attention.")] = False,
    buffer: Annotated[
        str, typer.Option("--buffer", help="On-chip buffer for --memory, as 512KiB; 0 by default.")
    ] = "0",
    batch: Annotated[int, typer.Option("--batch", min=1, help="Images that share one reading of the weights.")] = 1,
    extra_scales: Annotated[
        bool, typer.Option("--extra-scales", help="All that is stored, with scales and zero points.")
    ] = False,
    json: Json = None,
) -> None:
    """What one image costs: operations by named counting rules, actions, size and memory."""
    from hwsim.cli import _costs
    from qmodels import evidence

    room, chosen = bytes_of(buffer, "--buffer"), conventions_of(convention or (), set_ or ())
    workload = workload_of(model, wbits, abits, ends)
    with console.progress(f"tracing {model}") as advance:
        advance(0, 1)
        graph = evidence.skeleton_of(workload)
    usual, left_out = ([], []) if chosen else _usual(graph)
    account = _costs.account(graph, chosen or usual, room, batch)
    title = f"{workload.model.label} {workload.bits}" + _ends(workload)
    if json != "-":
        wanted = {"actions": actions, "memory": memory, "storage": extra_scales}
        for table in _costs.tables(account, title, buffer, per_layer, wanted):
            print_table(table)
        for reason in left_out:
            console.say(f"left out: {reason}")
        for sentence in _costs.summary(account, workload.method, buffer):
            console.say(sentence)
    if json:
        bits = {"wbits": workload.bits.weights, "abits": workload.bits.activations}
        tags = tuple((key, str(value)) for key, value in bits.items())
        records = [record for table in account.tables for record in table.records(model, tags)]
        facts = {"model": model, **bits, "ends": workload.bits.ends, "left_out": left_out}
        console.write_json(json, records, facts | account.as_json())


def _usual(graph: "Graph") -> "tuple[list[Convention], list[str]]":
    """The USUAL conventions that define the graph's widths, and why the others do not."""
    from hwsim.cost.table import resolve, tally
    from hwsim.cost.work import work

    rows, usual, left_out = work(graph), [], []
    for name in USUAL:
        try:
            usual.append(tally(rows, resolve(name)).convention)
        except HwsimError as error:
            left_out.append(str(error))
    return usual, left_out


def _ends(workload: "Workload") -> str:
    return "" if workload.bits.is_float else f", ends at {workload.bits.ends}"
