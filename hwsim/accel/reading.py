"""Tables of a TOML file as frozen models: every wrong key is answered in one line that says the rule, the value and a mend.

    machine.toml: clock_mhz must be a number of MHz from 1 to 10000, got 5e8; write clock_mhz = 500

The rule of a field is a `Rule` in its annotation, or follows from its type. Types are strict (an integer may stand for a
number, nothing else stands for something else), and there is no NaN and no infinity.
"""

import tomllib
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from hwsim import catalog
from hwsim.errors import BadFile


class Table(BaseModel):
    """Base of all tables; a rule on several fields is a validator that raises ValueError `<key> must be ...; <mend>`."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a field `must` be, and a TOML value that it may have."""

    must: str
    example: str


AsTuple = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
"""For fields that hold a tuple, which TOML writes as a list."""

AnyTable = TypeVar("AnyTable", bound=Table)
Place = tuple[str | int, ...]
_DERIVED = {
    bool: Rule("true or false", "true"),
    int: Rule("an integer", "1"),
    float: Rule("a number", "1.0"),
    str: Rule("a text", '"..."'),
}


def parse(text: str, where: str) -> dict[str, Any]:
    """The keys of a TOML text; raises BadFile where it is none, which a key given twice makes it too."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadFile(f"{where}: must be TOML with each key once, got {error}; mend that line") from None


def load(path: Path, what: str) -> dict[str, Any]:
    """The keys of the TOML file at `path`, which should hold `what`; raises BadFile."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "bytes that are not UTF-8"
        raise BadFile(f"{path}: must be {what} as TOML, got {why}; give another file") from None
    return parse(text, str(path))


def checked(kind: type[AnyTable], values: Mapping[str, Any], where: str, under: Place = ()) -> AnyTable:
    """The table of these keys, which lies `under` these keys of the file `where`; raises BadFile in one line."""
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        errors = error.errors(include_url=False)
    first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
    loc = tuple(first["loc"])
    key = written((*under, *loc))
    if first["type"] == "extra_forbidden":
        raise unknown_key(where, key, _fields(kind, loc[:-1]))
    if first["type"] == "value_error":  # of a validator, which writes what lies in its table
        raise BadFile(f"{where}: {key}{'.' if key else ''}{first['ctx']['error']}")
    got = "nothing" if first["type"] == "missing" else shown(first["input"])
    rule = _rule(kind, loc)
    last = next(part for part in reversed((*under, *loc)) if isinstance(part, str))
    mend = f"write {last} = {rule.example}" if rule.example else f"write it as [{key}]"
    raise BadFile(f"{where}: {key} must be {rule.must}, got {got}; {mend}")


def unknown_key(where: str, key: str, known: Sequence[str]) -> BadFile:
    """The error for a `key` (dotted) that the table it stands in does not have."""
    last = key.rpartition(".")[2]
    nearest = ", ".join(catalog.nearest(last, known))
    return BadFile(f"{where}: {key} must be a key of its table, got {shown(last)}; known, nearest first: {nearest}")


def written(place: Place) -> str:
    """A place in a file as text: `published[0].band`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")


def shown(value: Any) -> str:
    """A value as TOML writes it, shortened."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _fields(kind: Any, loc: Place) -> list[str]:
    inner, _ = _field(kind, loc)
    return list(_named(inner))


def _named(kind: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a table by the names that a file calls them."""
    return {field.alias or name: field for name, field in kind.model_fields.items()}


def _rule(kind: Any, loc: Place) -> Rule:
    inner, metadata = _field(kind, loc)
    for one in metadata:
        if isinstance(one, Rule):
            return one
    if get_origin(inner) is Literal:
        options = [f'"{option}"' for option in get_args(inner)]
        return Rule(f"one of {', '.join(options)}", options[0])
    if get_origin(inner) is tuple:
        return Rule("a list", "[]")
    return _DERIVED.get(inner, Rule("a table", ""))


def _field(kind: Any, loc: Place, metadata: Sequence[Any] = ()) -> tuple[Any, Sequence[Any]]:
    """The type and the metadata of the field at `loc` of the table type `kind`."""
    if get_origin(kind) is Annotated:
        inner, *more = get_args(kind)
        return _field(inner, loc, (*metadata, *more))
    if get_origin(kind) in (Union, types.UnionType):
        return _field(next(one for one in get_args(kind) if one is not types.NoneType), loc, metadata)
    if not loc:
        return kind, metadata
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = _named(kind)[str(loc[0])]
        return _field(field.annotation, loc[1:], field.metadata)
    inner = get_args(kind)  # of a mapping, or of a tuple
    return _field(inner[0] if get_origin(kind) is tuple else inner[-1], loc[1:])
