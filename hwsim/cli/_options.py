"""Options that several verbs share, and what they mean."""

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim.files import check_writable

if TYPE_CHECKING:
    from hwsim.cost.convention import Convention
    from workloads.workload import Workload


def _writable(target: str | None) -> str | None:
    """`target`, where a result can be written; raises BadFile before any work is done for it."""
    if target and target != "-":
        check_writable(Path(target))
    return target


Json = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE|-", help="Also write the result as JSON.", callback=_writable),
]
Wbits = Annotated[int, typer.Option("--wbits", help="Bits of the weights: 1..8, or 32 for float.")]
Abits = Annotated[int, typer.Option("--abits", help="Bits of the activations: 1..8, or 32 for float.")]
Ends = Annotated[int, typer.Option("--ends", help="Bits of the patch embedding and the heads: 1..8, or 32.")]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="Worker threads; all cores by default (of each process, with --jobs)."),
]

SCALE = "Scale: the results are the same for any workers"
"""The panel of help for options of scale."""
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="Of a cluster of dask or ray; else workers start here.",
        rich_help_panel=SCALE,
    ),
]

ResidualBits = Annotated[
    int | None,
    typer.Option("--residual-bits", min=2, max=24, help="Width of the residual stream, for the recipe's own."),
]


def workload_of(name: str, wbits: int, abits: int, ends: int = 8) -> "Workload":
    """The model `name` at these bits, or the workload `name`; raises UnknownName or HwsimError."""
    import dataclasses

    import workloads
    from hwsim.errors import UnknownName
    from workloads import models
    from workloads.bits import Bits

    if name not in models.names():
        try:
            return workloads.find(name)
        except UnknownName:
            models.find(name)  # the error that names the models
    bits = Bits(wbits, abits, ends)
    return dataclasses.replace(workloads.find(f"{name}_w{wbits}a{abits}"), bits=bits)


_BYTES = re.compile(r"(\d+(?:\.\d+)?) *(?:([kKMG](i)?)?B)?")
_POWERS = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3}


def bytes_of(text: str, option: str) -> float:
    """Bytes that `text` names: `512KiB` (1024 each), `1MB` (1000 each), `65536`; raises HwsimError."""
    from hwsim.errors import HwsimError

    match = _BYTES.fullmatch(text.strip())
    size = float(match[1]) * math.pow(1024 if match[3] else 1000, _POWERS[(match[2] or "")[:1]]) if match else math.inf
    if size == math.inf:
        raise HwsimError(f"{option}: must be a number of bytes, got {text!r}; write it as 512KiB, 1.5MB or 65536")
    return size


def conventions_of(names: Iterable[str], settings: Iterable[str]) -> "list[Convention]":
    """The conventions called `names` (or in those TOML files) with each KEY=VALUE of `settings`; raises HwsimError.

    Results are told apart by the conventions' names, so that each may stand there once.
    """
    from hwsim.cost.table import resolve
    from hwsim.errors import HwsimError

    names, changes = tuple(names), {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not (key and equals):
            raise HwsimError(f"--set: must read KEY=VALUE, got {setting!r}; as in --set attention_bits=8")
        if key.strip() in changes:
            raise HwsimError(f"--set: must give each option once, got {key.strip()} twice; leave one out")
        changes[key.strip()] = value.strip()
    if changes and not names:
        raise HwsimError(
            f"--set: needs a convention whose option it is, got {next(iter(changes))}; add --convention NAME"
        )
    chosen = [resolve(name, changes) for name in names]
    called = [convention.name for convention in chosen]
    for name in called:
        if called.count(name) > 1:
            raise HwsimError(
                f"--convention: each must have a name of its own, got {name} twice; leave one out or name it anew"
            )
    return chosen
