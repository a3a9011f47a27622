"""Options of conventions from text or TOML: `{"attention_bits": "8", "elementwise.gelu": "4", "rounding": "round:1:G"}`.

A key is an option, or a part of one after a dot (`elementwise.gelu`, `rounding.decimals`), which changes that part alone. A
value is of the option's type or is a text of it: `8`, `true`, `patch_embed,head`, `none` for an option that may be None;
elementwise work may also be one of the named weights: none, layernorm, one_each, swin, qvit.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from hwsim import catalog
from hwsim.cost.convention import Convention
from hwsim.cost.elementwise import LAYERNORM, NONE, ONE_EACH, QVIT, SWIN, Elementwise
from hwsim.cost.rounding import Rounding, parse
from hwsim.errors import HwsimError

WEIGHTS: Mapping[str, Elementwise] = {
    "none": NONE,
    "layernorm": LAYERNORM,
    "one_each": ONE_EACH,
    "swin": SWIN,
    "qvit": QVIT,
}
"""Weights of elementwise work that have a name."""

_WORDS = {
    bool: "true or false",
    int: "an integer",
    int | None: "an integer or none",
    float: "a number",
    str: "a text",
    tuple[str, ...]: "groups with commas between them",
    Elementwise: f"{', '.join(WEIGHTS)} or a table of weights",
    Rounding: "way:decimals:prefix",
}
_EXAMPLES = {
    bool: "true",
    int: "2",
    int | None: "8",
    float: "1.5",
    str: "mine",
    tuple[str, ...]: "patch_embed,head",
    Elementwise: "swin",
    Rounding: "round:1:G",
}

Value = str | int | float | bool | list[Any]
AnyConvention = TypeVar("AnyConvention", bound=Convention)


def of(kind: type[Any]) -> dict[str, Any]:
    """The options of a convention, or of a part of one, with the types of their values."""
    return {field.name: field.type for field in dataclasses.fields(kind) if field.type in _WORDS}


def changed(convention: AnyConvention, options: Mapping[str, Value]) -> AnyConvention:
    """`convention` with `options`; raises HwsimError where one is unknown, or has a value that it cannot have."""
    other: AnyConvention = _changed(convention, options, convention.subject)
    return other


def texts(convention: Convention) -> dict[str, str]:
    """The options of `convention` as text, which `changed` reads back."""
    written: dict[str, str] = {}
    for option in of(type(convention)):
        value = getattr(convention, option)
        if not isinstance(value, Elementwise):
            written[option] = _written(value)
        elif named := [name for name, weights in WEIGHTS.items() if weights == value]:
            written[option] = named[0]
        else:
            written |= {f"{option}.{kind}": _written(getattr(value, kind)) for kind in of(Elementwise)}
    return written


def flat(table: Mapping[str, Any]) -> dict[str, Value]:
    """A TOML table with the tables in it as dotted keys."""
    plain: dict[str, Value] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            plain |= {f"{key}.{part}": inner for part, inner in flat(value).items()}
        else:
            plain[key] = value
    return plain


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _changed(thing: Any, options: Mapping[str, Value], name: str) -> Any:
    known = of(type(thing))
    values: dict[str, Any] = {}
    parts: dict[str, dict[str, Value]] = {}
    for key, value in options.items():
        head, _, part = key.partition(".")
        if head not in known or (part and known[head] not in (Elementwise, Rounding)):
            raise catalog.unknown(f"{name}: option", key, known)
        if part:
            parts.setdefault(head, {})[part] = value
        else:
            values[head] = _read(f"{name}: {head}", value, known[head])
    for head, inner in parts.items():
        values[head] = _changed(values.get(head, getattr(thing, head)), inner, f"{name}: {head}")
    return dataclasses.replace(thing, **values)


def _read(where: str, value: Value, kind: Any) -> Any:
    """`value` as one of this type; raises HwsimError where it is none."""
    read = _from_text(value.strip(), kind) if isinstance(value, str) else _from_toml(value, kind)
    if read is _NOT:
        option = where.rpartition(": ")[2]
        raise HwsimError(f"{where} must be {_WORDS[kind]}, got {value!r}; write {option}={_EXAMPLES[kind]}")
    return None if read is _NULL else read


_NOT, _NULL = object(), object()


def _from_text(text: str, kind: Any) -> Any:
    if kind is str:
        return text
    if kind is Rounding:
        return parse(text)
    if kind is Elementwise:
        return WEIGHTS.get(text, _NOT)
    if kind is bool:
        return {"true": True, "false": False}.get(text, _NOT)
    if kind == tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",")) if text else ()
    if kind == int | None and text == "none":
        return _NULL
    if kind is float:
        return float(text) if re.fullmatch(r"-?[0-9.]+(e-?[0-9]+)?", text) and text.count(".") < 2 else _NOT
    return int(text) if re.fullmatch(r"-?[0-9]{1,9}", text) else _NOT


def _from_toml(value: Any, kind: Any) -> Any:
    if kind is bool:
        return value if isinstance(value, bool) else _NOT
    if kind in (int, int | None):
        return value if type(value) is int else _NOT
    if kind is float:
        return value if type(value) in (int, float) else _NOT
    if kind == tuple[str, ...]:
        return tuple(value) if isinstance(value, list) and all(isinstance(part, str) for part in value) else _NOT
    return _NOT
