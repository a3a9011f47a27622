"""`hwsim search`: which width for which layer, within budgets."""

from pathlib import Path
from typing import Annotated

import typer

from hwsim import console
from hwsim.cli._options import Json
from hwsim.cli._output import print_table
from hwsim.cli.estimate import Settings, machine_of

EXAMPLE = "hwsim search digits_w8a8 --accelerator loom --sensitivity s.json --latency 0.03 --out bits.json"

_BUDGETS = "Budgets, one or more"


def search(
    model: Annotated[str, typer.Argument(help="A model or workload of `hwsim list`, or a graph file.")],
    accelerator: Annotated[str, typer.Option("--accelerator", metavar="NAME|FILE.toml", help="The machine.")],
    sensitivity: Annotated[
        Path, typer.Option("--sensitivity", help="What each layer loses at each width, from `hwsim sensitivity`.")
    ],
    latency: Annotated[
        float | None, typer.Option("--latency", metavar="MS", help="Of a batch.", rich_help_panel=_BUDGETS)
    ] = None,
    energy: Annotated[
        float | None, typer.Option("--energy", metavar="MJ", help="Of one image.", rich_help_panel=_BUDGETS)
    ] = None,
    size: Annotated[
        float | None,
        typer.Option("--size", metavar="MIB", help="Of all stored numbers.", rich_help_panel=_BUDGETS),
    ] = None,
    method: Annotated[str, typer.Option("--method", help="greedy, exact or evolutionary.")] = "greedy",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the evolutionary method.")] = 0,
    energy_table: Annotated[
        str | None, typer.Option("--energy-table", metavar="NAME|FILE.toml", help="If not the machine's own.")
    ] = None,
    set_: Settings = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Images that share one reading of the weights.")] = 1,
    out: Annotated[
        Path | None, typer.Option("--out", help="The bits file to write, for `estimate --bits` and `sweep`.")
    ] = None,
    json: Json = None,
) -> None:
    """Mixed precision: the widths of each layer that lose least within budgets of latency, energy and size.

    Losses of layers are taken to add up; docs/mixed_precision.md says what that means. Costs are those of the whole model.
    """
    from hwsim.accel import energy as tables
    from hwsim.accel.layer_bits import LayerBits
    from hwsim.accel.mixed.machine import price_on
    from hwsim.accel.mixed.search import search as find
    from hwsim.accel.mixed.search import uniform
    from hwsim.accel.sensitivities import Sensitivities
    from hwsim.cli._estimates import at_8_bits
    from hwsim.cli._mixed import Answer
    from hwsim.files import check_writable

    if out:
        check_writable(out)
    machine, losses = machine_of(accelerator, set_ or ()), Sensitivities.read(sensitivity)
    table = tables.find(energy_table or machine.energy)
    given = {"latency": latency, "energy": energy, "size": size}
    budgets = {thing: budget for thing, budget in given.items() if budget is not None}
    with console.progress("searching") as advance:
        advance(0, 1)
        whole = at_8_bits(model)
        groups, price = losses.groups(whole.products), price_on(whole, machine, table, batch)
        found = find(groups, price, budgets, method, seed, advance)
    tags = {"table": table.name, "batch": str(batch), "method": method, "seed": str(seed)}
    answer = Answer(model, machine.name, tags, losses.unit, budgets, groups, found, uniform(groups, price))
    if out:
        LayerBits.of(found.setting.widths, answer.about()).write(out)
    if json != "-":
        for shown in answer.tables():
            print_table(shown)
        for line in answer.sentences():
            console.say(line)
        if out:
            console.say(f"Wrote {out}.")
    if json:
        console.write_json(json, answer.records(), answer.summary())
