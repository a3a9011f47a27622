"""`hwsim estimate`: what a model takes on an accelerator."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim import console
from hwsim.cli._options import Abits, Ends, Json, Wbits
from hwsim.cli._output import print_tables
from hwsim.errors import HwsimError

if TYPE_CHECKING:
    from hwsim.accel.accelerator import Accelerator
    from hwsim.accel.estimate import Estimate
    from hwsim.record import Record

EXAMPLE = "hwsim estimate deit_small_patch16_224 --accelerator systolic_32x32 --wbits 4 --abits 4"
TABLES = ("cycles_split", "pipeline_units", "vector_work", "estimates", "energy_tables", "speedup_gap")

Machines = Annotated[
    list[str], typer.Option("--accelerator", metavar="NAME|FILE.toml", help="Of `hwsim list accelerators`; repeatable.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Another value of the accelerator, as array.rows=64; repeatable."),
]
Energies = Annotated[
    list[str] | None,
    typer.Option("--energy", metavar="NAME|FILE.toml", help="Energy tables, repeatable; all shipped ones by default."),
]
BitsFile = Annotated[
    Path | None, typer.Option("--bits", metavar="FILE", help="Bits of each layer, as `hwsim search` writes them.")
]
ActivityFile = Annotated[
    Path | None,
    typer.Option("--activity", metavar="FILE", help="Measured codes, by `hwsim simulate` or `verify --activity`."),
]


def estimate(
    model: Annotated[str, typer.Argument(help="A model or workload of `hwsim list`, or a graph file.")],
    accelerator: Machines,
    wbits: Wbits = None,
    abits: Abits = None,
    ends: Ends = None,
    bits: BitsFile = None,
    batch: Annotated[
        int, typer.Option("--batch", min=1, max=65_536, help="Images at a time, which share the weights.")
    ] = 1,
    set_: Settings = None,
    energy: Energies = None,
    activity: ActivityFile = None,
    per_layer: Annotated[bool, typer.Option("--per-layer", help="Cycles of every node too.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of a report with figures.")] = None,
    json: Json = None,
) -> None:
    """Cycles and what they go to, frames per second, traffic and energy of a model on an accelerator.

    Beside it the same model at 8 bits on the same machine, and in floats on one of as many float32 PEs; the speedups over
    both are taken apart. Everything is computed from shapes and widths; docs/accelerators.md has the rules.
    """
    from hwsim.accel import energy as tables
    from hwsim.accel.activity import Activity
    from hwsim.files import check_folder

    machines = [machine_of(name, set_ or ()) for name in accelerator]
    names = [machine.name for machine in machines]
    for name in names:
        if names.count(name) > 1:
            raise HwsimError(f"--accelerator: each must have a name of its own, got {name} twice; leave one out")
    prices = [tables.find(name) for name in energy or tables.names()]
    measured = Activity.read(activity) if activity else None
    if out:
        check_folder(out)
    from hwsim.cli._estimates import Asked

    with console.progress(f"tracing {model}") as advance:
        advance(0, 1)
        asked = Asked.of(model, (wbits, abits, ends), bits)
    if measured:
        asked.measured = f"{activity.name if activity else ''}, {measured.images} images"
    records: list[Record] = []
    estimates: list[Estimate] = []
    for machine in machines:
        found = asked.on(machine, batch, measured)
        estimates.append(found)
        records += asked.records(found, prices, per_layer)
    records += asked.on_paper()
    if json != "-":
        print_tables(records, *TABLES, *(["node_cycles"] if per_layer else []))
        for found in estimates:
            console.say(sentence(asked.title, found) + (f" Codes as in {asked.measured}." if measured else ""))
        for note in asked.notes:
            console.say(note)
    if out:
        from reports.report import write_report

        files = write_report(records, out)
        if json != "-":
            console.say(f"{len(files)} files in {out}: open {out / 'report.html'}")
    if json:
        console.write_json(json, records, {"model": model, "accelerators": names, "notes": asked.notes})


def machine_of(name: str, settings: "list[str] | tuple[str, ...]") -> "Accelerator":
    """The accelerator called `name`, or in that file, with each KEY=VALUE of `settings`; raises HwsimError, also where
    there is no energy table of the name that it states."""
    from hwsim.accel import accelerator as accelerators
    from hwsim.accel import energy

    values: dict[str, str] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not (key.strip() and equals):
            raise HwsimError(f"--set: must read KEY=VALUE, got {setting!r}; as in --set array.rows=64")
        if key.strip() in values:
            raise HwsimError(f"--set: must give each key once, got {key.strip()} twice; leave one out")
        values[key.strip()] = value.strip()
    machine = accelerators.find(name)
    machine = accelerators.changed(machine, values) if values else machine
    energy.find(machine.energy)
    return machine


def sentence(title: str, found: "Estimate") -> str:
    """What comes out, and what it is bound by."""
    cycles = float(found.cycles)
    part, most = max(found.parts.items(), key=lambda item: float(item[1]) * (item[0] != "useful"))
    words = {
        "mapping": "PEs without work",
        "fill": "filling and draining" if found.accelerator.pipeline is None else "waiting for the slowest unit",
        "port": "the ports of the buffers",
        "dram": "DRAM",
        "vector": "the vector unit",
    }
    if found.units:
        words["fill"] += f" ({max(found.units, key=lambda name: found.units[name])} sets the interval)"
    images = "one image" if found.batch == 1 else f"{found.batch} images"
    return (
        f"{title} on {found.accelerator.name}: {float(found.latency) * 1e3:.4g} ms for {images}, "
        f"{float(found.fps):.5g} frames/s; PEs do useful work in {100 * float(found.utilisation):.1f} % of {cycles:,.0f} "
        f"cycles, most of the rest goes to {words[part]} ({100 * float(most) / cycles:.1f} %)."
    )
