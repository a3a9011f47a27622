"""Catalogues: a folder is a catalogue, each file in it defines one public thing, and the file name is its name.

`find("hwsim.ops", "layernorm")` imports `hwsim/ops/layernorm.py` and returns the thing it defines: the attribute whose
name, in lower case without underscores, is the file's name. Nothing is registered, and no list has to be edited.
"""

import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from typing import Any

from hwsim.errors import UnknownName


def names(package: str) -> tuple[str, ...]:
    """Names of all entries of the catalogue `package` (a dotted package name), sorted."""
    path = importlib.import_module(package).__path__
    return tuple(sorted(m.name for m in pkgutil.iter_modules(path) if not m.name.startswith("_")))


def find(package: str, name: str, kind: str = "name") -> Any:
    """The one public thing that the file `name` of the catalogue `package` defines.

    Raises UnknownName, with the known names nearest first, if there is no such file.
    """
    known = names(package)
    if name not in known:
        raise unknown(kind, name, known)
    module = importlib.import_module(f"{package}.{name}")
    wanted = name.replace("_", "")
    found = [value for key, value in vars(module).items() if key.lower().replace("_", "") == wanted and key[0] != "_"]
    assert found, f"{package}.{name} defines nothing called {name}"
    return next((value for value in found if getattr(value, "__module__", "") == module.__name__), found[0])


LISTED = 12
"""How many of the known names an error lists; beyond them it only says how many more there are."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UnknownName:
    """The error for a `name` that is not among the `known` names of this `kind`: the nearest of them, nearest first."""
    ordered = nearest(name, known)
    more = f" and {len(ordered) - LISTED} more" if len(ordered) > LISTED else ""
    return UnknownName(f"{kind}: unknown name, got {name!r}; known, nearest first: {', '.join(ordered[:LISTED])}{more}")


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """The `known` names ordered by their similarity to `name`, then by alphabet."""

    def distance(other: str) -> tuple[float, str]:
        return -difflib.SequenceMatcher(None, name.lower(), other.lower()).ratio(), other

    return sorted(known, key=distance)
