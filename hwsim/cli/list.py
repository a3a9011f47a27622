"""`hwsim list`: what there is."""

from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

from hwsim import console
from hwsim.cli._options import Json

EXAMPLE = "hwsim list models"


def list_(
    kind: Annotated[
        str,
        typer.Argument(
            help="models, methods, recipes, conventions, workloads, operators, grids, suites, accelerators, schemes, "
            "energies or searchers."
        ),
    ],
    options: Annotated[bool, typer.Option("--options", help="Of conventions, their options and defaults too.")] = False,
    json: Json = None,
) -> None:
    """What there is."""
    import workloads
    from hwsim import catalog
    from hwsim.cli import _suites
    from qmodels import method
    from workloads import models

    known: dict[str, Callable[[], tuple[str, ...]]] = {
        "models": models.names,
        "methods": method.names,
        "conventions": lambda: catalog.names("hwsim.cost.conventions"),
        "workloads": workloads.names,
        "operators": lambda: catalog.names("hwsim.ops"),
        "grids": lambda: catalog.names("hwsim.grids"),
        "recipes": _recipes,
        "suites": _suites.names,
        "accelerators": _accelerators,
        "schemes": _schemes,
        "energies": _energies,
        "searchers": lambda: catalog.names("hwsim.accel.mixed.searchers"),
    }
    if kind not in known:
        raise catalog.unknown("list", kind, known)
    names = known[kind]()
    described = {"conventions": _convention, "accelerators": _accelerator, "energies": _energy}.get(kind)
    entries: list[Any] = [described(name) for name in names] if described else list(names)
    if json != "-":
        printed = {
            "conventions": lambda: _lines(entries, options),
            "accelerators": lambda: _machines(entries),
            "energies": lambda: _tables(entries),
        }
        for line in printed.get(kind, lambda: names)():
            console.say(line)
        if kind == "models":
            console.say("and every other by timm's name, see `timm.list_models()` and docs/models.md")
    if json:
        console.write_json(json, (), {kind: entries})


def _recipes() -> tuple[str, ...]:
    """Each recipe with what it follows."""
    from hwsim.lower import recipe

    return tuple(f"{name}: {recipe.find(name).about}" for name in recipe.names())


def _schemes() -> tuple[str, ...]:
    """Each precision scheme with its formula."""
    import inspect

    from hwsim import catalog
    from hwsim.accel import scheme

    kinds = (catalog.find(scheme.SCHEMES, name) for name in scheme.names())
    return tuple((inspect.getdoc(inspect.getmodule(kind)) or "").partition("\n")[0].rstrip(".") for kind in kinds)


def _accelerators() -> tuple[str, ...]:
    from hwsim.accel import accelerator

    return accelerator.names()


def _accelerator(name: str) -> dict[str, Any]:
    """A machine's array, scheme, and MACs per cycle of the whole array at 8, 4 and 2 bits."""
    from hwsim.accel import accelerator

    machine = accelerator.find(name)
    array, scheme = machine.array, machine.precision
    return {
        "name": name,
        "array": f"{array.rows}x{array.cols}" + (f" x{array.count}" if array.count > 1 else ""),
        "scheme": scheme.name,
        "peak": {str(bits): machine.pes * scheme.peak(bits, bits) for bits in (8, 4, 2)},
        "about": machine.about,
        "source": machine.source,
    }


def _machines(accelerators: list[dict[str, Any]]) -> Iterator[str]:
    yield f"{'':18}{'array':12}{'scheme':20}{'MAC/cycle at 8, 4 and 2 bits':30}"
    for one in accelerators:
        peak = "".join(f"{value:<9,.0f}" for value in one["peak"].values())
        yield f"{one['name']:18}{one['array']:12}{one['scheme']:20}{peak:30}{one['about']}"
        yield f"    {one['source']}"
    yield "and every other as a file of your own, see docs/accelerators.md"


def _convention(name: str) -> dict[str, Any]:
    """A convention's name, status, unit, formula, and its options with their defaults as `--set` takes them."""
    import inspect

    from hwsim.cost import options
    from hwsim.cost.table import find

    kind = find(name)
    contract = inspect.getdoc(inspect.getmodule(kind)) or ""
    formula = contract.partition("\n")[0].removeprefix(f"{name}: ")
    return {
        "name": name,
        "status": kind.status,
        "unit": kind.unit,
        "formula": formula,
        "options": options.texts(kind()),
    }


def _lines(conventions: list[dict[str, Any]], options: bool) -> Iterator[str]:
    for one in conventions:
        yield f"{one['name']:14}{one['status']:10}{one['unit']:7}{one['formula']}"
        if options:
            yield "    " + " ".join(f"{option}={value}" for option, value in one["options"].items() if value)


def _energies() -> tuple[str, ...]:
    from hwsim.accel import energy

    return energy.names()


def _energy(name: str) -> dict[str, Any]:
    """An energy table's node, its MAC of 8 bits and its DRAM, and every constant with its source."""
    from hwsim.accel import energy
    from hwsim.accel.schemes.fixed import Fixed

    table = energy.find(name)
    return {
        "name": name,
        "node_nm": table.node_nm,
        "mac8_pj": table.mac(Fixed(), 8, 8),
        "dram_pj_per_bit": [table.dram_read, table.dram_write],
        "about": table.about,
        "source": table.source,
        "constants": [entry._asdict() for entry in table.constants()],
    }


def _tables(energies: list[dict[str, Any]]) -> Iterator[str]:
    yield f"{'':25}{'node':9}{'MAC of 8 bits':16}{'DRAM, read and write':25}"
    for one in energies:
        node = f"{one['node_nm']:g} nm" if one["node_nm"] else "unsaid"
        read, write = one["dram_pj_per_bit"]
        dram = f"{read:g}, {write:g} pJ/bit"
        yield f"{one['name']:25}{node:9}{one['mac8_pj']:<7.4f}{'pJ':9}{dram:25}{one['about']}"
    yield "and every other as a file of your own, see docs/energy.md"
