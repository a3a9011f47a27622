"""Whether the fields of operators and specs hold what their annotations say: no float where hardware has an integer.

An annotation is a class, a union of classes (None among them), or a tuple of such, of any length or of a fixed one. Classes
are exact: a bool, 1.0 and a NumPy integer equal an integer, and yet a file gives the first two back as they are and cannot
hold the third. np.float64 alone is taken too, which is a float in all that matters.
"""

import reprlib
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

import numpy as np

NAMES = {int: "an integer", bool: "a bool", str: "a text", float: "a float", NoneType: "None"}
ANY = 0
"""Length of a tuple that may have any."""


def check_fields(owner: str, kind: type, values: Mapping[str, Any], remedy: str) -> None:
    """Raise ValueError `<owner>: <field> must be ...; <remedy>` where a value is not of the type of `kind`'s field.

    Fields that `values` lacks, and names that are no field, are left to the constructor.
    """
    for name, wanted, text, length in _declared(kind):
        if name not in values:
            continue
        value, place = values[name], ""
        if length is None:
            legal = type(value) in wanted
        elif type(value) is not tuple or length not in (ANY, len(value)):
            legal, text = False, f"a tuple of {text}"
        else:
            legal = wanted.issuperset(map(type, value))
            if not legal:
                index = next(index for index, item in enumerate(value) if type(item) not in wanted)
                value, place = value[index], f" at {index}"
        if not legal:
            raise ValueError(f"{owner}: {name} must be {text}, got {reprlib.repr(value)}{place}; {remedy}")


@cache
def _declared(kind: type) -> tuple[tuple[str, frozenset[type], str, int | None], ...]:
    """Name, classes, what they are called, and length (None where it is no tuple) of each field."""
    return tuple((field.name, *_rule(field.type)) for field in fields(kind))


def _rule(annotation: Any) -> tuple[frozenset[type], str, int | None]:
    if get_origin(annotation) is tuple:
        item, *others = get_args(annotation)
        wanted, text, _ = _rule(item)
        length = ANY if others == [Ellipsis] else 1 + len(others)
        return wanted, f"{length or ''} {text.split(' ', 1)[-1]}s".strip(), length
    classes = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    text = " or ".join(NAMES.get(one) or f"a {one.__name__}" for one in classes)
    return frozenset(classes) | ({np.float64} if float in classes else set()), text, None
