"""An accelerator as data: array, precision scheme, buffers, DRAM, vector unit, all from a TOML file.

The built-in machines are the files of `hwsim/accel/catalog`, a user's own has the same format: docs/accelerators.md says
every key with its unit. `changed` gives another machine by dotted keys, checked as the file is; `varied` puts arrays in the
place of numbers, so that one object stands for many configurations.
"""

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from hwsim import catalog
from hwsim.accel import scheme
from hwsim.accel.parts import Array, Buffers, Dram, Megahertz, Pipeline, Published, Vector
from hwsim.accel.reading import AsTuple, Rule, Table, checked, load, parse, shown, unknown_key
from hwsim.accel.scheme import Scheme
from hwsim.errors import BadFile, HwsimError


class Accelerator(Table):
    """A machine; its `name` is the stem of its file."""

    name: str
    about: str = ""
    source: str = ""
    """Where it is from, and what of it is printed there, recalled, inferred or ours."""
    clock_mhz: Megahertz
    energy: str
    """The energy table that fits its node (`hwsim.accel.energy`)."""
    compat: Literal["", "bitfusion"] = ""
    """A tool whose own cycles and traffic are to be had instead of ours."""
    array: Array
    precision: Scheme
    buffers: Buffers
    dram: Dram
    vector: Vector
    pipeline: Pipeline | None = None
    published: Annotated[tuple[Published, ...], AsTuple, Rule("a list of tables", "[]")] = ()

    @model_validator(mode="after")
    def _compatible(self) -> "Accelerator":
        if self.compat == "bitfusion" and self.precision.name != "spatial_fusion":
            raise ValueError(
                f'compat must be "" unless precision.scheme = "spatial_fusion", got "bitfusion" with '
                f'"{self.precision.name}"; change one of them'
            )
        return self

    @property
    def pes(self) -> int | NDArray[np.int64]:
        """PEs of all arrays."""
        return self.array.rows * self.array.cols * self.array.count


SINGLE = ("precision.", "published.", "pipeline.", "dram.float_bits")
"""Keys of numbers of which a machine can have only one: they decide what is priced, not at what rate."""


def names() -> tuple[str, ...]:
    """The built-in machines."""
    files = resources.files("hwsim.accel").joinpath("catalog").iterdir()
    return tuple(sorted(Path(file.name).stem for file in files if file.name.endswith(".toml")))


def find(name_or_path: str | Path) -> Accelerator:
    """The built-in machine of this name, or the one in a TOML file; raises UnknownName or BadFile in one line."""
    name = str(name_or_path)
    if name in names():
        text = resources.files("hwsim.accel").joinpath("catalog", f"{name}.toml").read_text(encoding="utf-8")
        return _built(parse(text, f"{name}.toml"), name, f"{name}.toml")
    path = Path(name_or_path)
    if not path.suffix and not path.is_file():
        raise catalog.unknown("accelerator", name, names())
    return read(path)


def read(path: Path) -> Accelerator:
    """The machine in a TOML file; raises BadFile in one line."""
    return _built(load(path, "an accelerator"), path.stem, str(path))


def changed(accelerator: Accelerator, values: Mapping[str, Any]) -> Accelerator:
    """The machine with other values at dotted keys (`array.rows`), checked as its file is; raises BadFile.

    Texts are read as TOML where they are (`"64"`, `"true"`); `"none"` takes a pipeline away. Another `precision.scheme`
    starts from its own defaults.
    """
    tree = _tree(accelerator)
    for key, value in values.items():
        _put(tree, key, _plain(value), accelerator.name)
    return _built(tree, accelerator.name, accelerator.name)


def varied(accelerator: Accelerator, values: Mapping[str, Any]) -> Accelerator:
    """The machine with arrays of one length at dotted keys that hold numbers: many configurations in one.

    Least and largest of an array are checked as `changed` does, and with them all between, since every rule on a number
    is a range. Raises BadFile there, and HwsimError for arrays that do not fit, for keys that hold no number of the
    machine's own or one of which it has only one (SINGLE), and for pipelines and machines of another tool.
    """
    machine, where = accelerator, f"varied {accelerator.name}"
    arrays = {key: np.asarray(value) for key, value in values.items()}
    lengths = {array.shape for array in arrays.values()}
    if len(lengths) > 1 or any(len(shape) != 1 or shape == (0,) for shape in lengths):
        shapes = ", ".join(f"{key} {array.shape}" for key, array in arrays.items())
        raise HwsimError(
            f"{where}: values must be arrays of one length, got {shapes}; give one value per configuration"
        )
    if accelerator.compat or accelerator.pipeline is not None:
        kind = f'compat = "{accelerator.compat}"' if accelerator.compat else "a pipeline"
        raise HwsimError(f"{where}: must be an array of our own model, got {kind}; take `changed`, one by one")
    for key, array in arrays.items():
        if array.dtype.kind not in "iuf" or key.startswith(SINGLE):
            raise HwsimError(f"{where}: {key} must be a key with numbers, got {array.dtype}; take `changed` for others")
        if not _has(accelerator, key):
            raise HwsimError(f"{where}: {key} must be in the machine's file, got a machine without; write it there")
        ends = [_at(changed(accelerator, {key: end}), key) for end in (array.min(), array.max())]  # a NaN is both
        machine = _replaced(machine, key.split("."), array.astype(np.int64 if type(ends[0]) is int else np.float64))
    return machine


def _built(values: Mapping[str, Any], name: str, where: str) -> Accelerator:
    if "name" in values:
        raise BadFile(f"{where}: name must be the file's own, got {shown(values['name'])}; drop the key")
    precision = scheme.read(values.get("precision"), where)
    return checked(Accelerator, {**values, "name": name, "precision": precision}, where)


def _tree(accelerator: Accelerator) -> dict[str, Any]:
    """The machine as the tables of its file."""
    tree = accelerator.model_dump(exclude={"name", "precision"})
    return tree | {"precision": {"scheme": accelerator.precision.name, **accelerator.precision.model_dump()}}


def _put(tree: dict[str, Any], key: str, value: Any, where: str) -> None:
    *tables, last = key.split(".")
    if key == "precision.scheme":
        tree["precision"] = {}
    for table in tables:
        if tree.get(table) is None:
            tree[table] = {}
        tree = tree[table]
        if not isinstance(tree, dict):
            raise unknown_key(where, key, list(Accelerator.model_fields))
    tree[last] = None if key == "pipeline" and value == "none" else value


def _plain(value: Any) -> Any:
    """A value as TOML would give it."""
    if isinstance(value, np.generic):
        return value.item()
    if not isinstance(value, str):
        return value
    try:
        read = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        return value
    return read["value"] if list(read) == ["value"] else value


def _has(accelerator: Accelerator, key: str) -> bool:
    """Whether the table that `key` is in is there: a pipeline and its units may not be."""
    thing: Any = accelerator
    for part in key.split(".")[:-1]:
        thing = thing.get(part) if isinstance(thing, dict) else getattr(thing, part, accelerator)
        if thing is None:
            return False
    return True


def _at(thing: Any, key: str) -> Any:
    for part in key.split("."):
        thing = thing[part] if isinstance(thing, dict) else getattr(thing, part)
    return thing


def _replaced(thing: Any, keys: list[str], array: NDArray[Any]) -> Any:
    """`thing` with `array` at the place that `keys` lead to."""
    if not keys:
        return array
    key, *rest = keys
    if isinstance(thing, dict):
        return {**thing, key: _replaced(thing.get(key), rest, array)}
    return thing.model_copy(update={key: _replaced(getattr(thing, key), rest, array)})
