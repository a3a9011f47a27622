"""`hwsim list`: what there is."""

from collections.abc import Callable
from typing import Annotated

import typer

from hwsim import console

EXAMPLE = "hwsim list models"


def list_(
    kind: Annotated[
        str, typer.Argument(help="models, methods, recipes, conventions, workloads, operators, grids or suites.")
    ],
) -> None:
    """What there is."""
    import workloads
    from hwsim import catalog
    from hwsim.cli import _suites
    from workloads import models

    known: dict[str, Callable[[], tuple[str, ...]]] = {
        "models": models.names,
        "methods": lambda: catalog.names("qmodels.methods"),
        "conventions": lambda: catalog.names("hwsim.cost.conventions"),
        "workloads": workloads.names,
        "operators": lambda: catalog.names("hwsim.ops"),
        "grids": lambda: catalog.names("hwsim.grids"),
        "recipes": _recipes,
        "suites": _suites.names,
    }
    if kind not in known:
        raise catalog.unknown("list", kind, known)
    for name in known[kind]():
        console.say(name)


def _recipes() -> tuple[str, ...]:
    """Each recipe with what it follows."""
    from hwsim.lower import recipe

    return tuple(f"{name}: {recipe.find(name).about}" for name in recipe.names())
