"""A JSON object from a file, read strictly: each way it can be wrong is one BadFile line, keys given twice among them."""

import json
from pathlib import Path
from typing import Any

from hwsim.errors import BadFile


def read_object(path: Path, kind: str, keys: tuple[str, ...], remedy: str) -> dict[str, Any]:
    """The object in the file `path`, of no other keys than `keys`; `kind` says what it is to be (`a bits file`), and
    `remedy` where one comes from. Raises BadFile."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise BadFile(f"{path}: cannot be read as {kind}, got {error}; {remedy}") from None
    except _Twice as error:
        raise BadFile(f"{path}: must give each key once, got {error} twice; leave one out") from None
    except ValueError as error:
        raise BadFile(f"{path}: must be JSON, got {error}; {remedy}") from None
    if not isinstance(content, dict):
        raise BadFile(f"{path}: must be {kind}, a JSON object, got {type(content).__name__}; {remedy}")
    for key in content:
        if key not in keys:
            raise BadFile(f"{path}: {kind} has the keys {', '.join(keys)}, got {key!r}; leave it out")
    return content


class _Twice(ValueError):
    """A key given twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _Twice(repr(key))
        found[key] = value
    return found
