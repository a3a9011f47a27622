"""`hwsim list`: what there is."""

from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

from hwsim import console
from hwsim.cli._options import Json

EXAMPLE = "hwsim list models"


def list_(
    kind: Annotated[
        str, typer.Argument(help="models, methods, recipes, conventions, workloads, operators, grids or suites.")
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
    }
    if kind not in known:
        raise catalog.unknown("list", kind, known)
    names = known[kind]()
    entries: list[Any] = [_convention(name) for name in names] if kind == "conventions" else list(names)
    if json != "-":
        for line in _lines(entries, options) if kind == "conventions" else names:
            console.say(line)
        if kind == "models":
            console.say("and every other by timm's name, see `timm.list_models()` and docs/models.md")
    if json:
        console.write_json(json, (), {kind: entries})


def _recipes() -> tuple[str, ...]:
    """Each recipe with what it follows."""
    from hwsim.lower import recipe

    return tuple(f"{name}: {recipe.find(name).about}" for name in recipe.names())


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
