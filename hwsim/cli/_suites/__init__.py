"""The catalogue of suites: each file defines one function of its own name, `(Options) -> Found`, which `hwsim reproduce`
runs by that name, written with hyphens (`q-vit` is `q_vit.py`)."""

from typing import TYPE_CHECKING

from hwsim import catalog

if TYPE_CHECKING:
    from hwsim.cli._suites._suite import Suite


def names() -> tuple[str, ...]:
    """Every suite."""
    return tuple(name.replace("_", "-") for name in catalog.names(__name__))


def find(suite: str) -> "Suite":
    """The suite of this name; raises UnknownName."""
    if suite not in names():
        raise catalog.unknown("suite", suite, names())
    found: Suite = catalog.find(__name__, suite.replace("-", "_"))
    return found
