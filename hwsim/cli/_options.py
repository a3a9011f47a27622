"""Options that several verbs share, and what they mean."""

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim.errors import HwsimError
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
Wbits = Annotated[int | None, typer.Option("--wbits", help="Bits of the weights: 1..8, or 32 for float; 4 by default.")]
Abits = Annotated[
    int | None, typer.Option("--abits", help="Bits of the activations: 1..8, or 32 for float; 4 by default.")
]
Ends = Annotated[
    int | None, typer.Option("--ends", help="Bits of the patch embedding and the heads: 1..8, or 32; 8 by default.")
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="Worker threads; all cores by default (of each process, with --jobs)."),
]

Method = Annotated[str | None, typer.Option("--method", help="A method, if not the workload's own.")]
Preset = Annotated[str, typer.Option("--preset", help="Of the method: paper, released or deployable.")]
LayerBitsFile = Annotated[
    Path | None,
    typer.Option("--layer-bits", metavar="FILE", help="Widths of layers, as `hwsim search` writes them."),
]
TrainingData = Annotated[
    Path | None, typer.Option("--data", help="The folder of train/CLASS/IMAGE and so on, or hf:SOURCE.")
]
ResumeState = Annotated[bool, typer.Option("--resume", help="Go on from the state beside --out, if there is one.")]

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


def need_no_widths(widths: Iterable[int | None], fixed_by: str) -> None:
    """Raise HwsimError where --wbits, --abits or --ends are given beside what fixes the widths."""
    for option, bits in zip(("--wbits", "--abits", "--ends"), widths, strict=False):
        if bits is not None:
            raise HwsimError(f"{option}: widths are those of {fixed_by}, got {bits} beside it; leave out {option}")


def workload_of(name: str, wbits: int | None, abits: int | None, ends: int | None = None) -> "Workload":
    """The model `name` at these bits (W4A4, ends at 8, where None is given), or the workload `name`, at its own.

    Raises UnknownName, or HwsimError for widths that are none, or beside a workload.
    """
    import dataclasses

    import workloads
    from hwsim.errors import UnknownName
    from workloads import models
    from workloads.bits import Bits

    if name not in models.names():
        try:
            found = workloads.find(name)
        except UnknownName:
            models.find(name)  # the error that names the models, or one of timm's
        else:
            need_no_widths((wbits, abits, ends), f"the workload {name}")
            return found
    bits = Bits(4 if wbits is None else wbits, 4 if abits is None else abits, 8 if ends is None else ends)
    return dataclasses.replace(workloads.find(f"{name}_{bits.name}"), bits=bits)


def workload_at_8_bits(name: str) -> "Workload":
    """The model, or the model of the workload, `name` at 8 bits throughout, from which other widths are priced."""
    import dataclasses

    from workloads.bits import Bits

    return dataclasses.replace(workload_of(name, None, None), bits=Bits(8, 8, 8))


_BYTES = re.compile(r"(\d+(?:\.\d+)?) *(?:([kKMG](i)?)?B)?")
_POWERS = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3}


def bytes_of(text: str, option: str) -> float:
    """Bytes that `text` names: `512KiB` (1024 each), `1MB` (1000 each), `65536`; raises HwsimError."""
    match = _BYTES.fullmatch(text.strip())
    size = float(match[1]) * math.pow(1024 if match[3] else 1000, _POWERS[(match[2] or "")[:1]]) if match else math.inf
    if size == math.inf:
        raise HwsimError(f"{option}: must be a number of bytes, got {text!r}; write it as 512KiB, 1.5MB or 65536")
    return size


def changes_of(settings: Iterable[str], example: str = "epochs=20") -> dict[str, str]:
    """Key and text of each KEY=VALUE of `settings`; raises HwsimError."""
    from hwsim.errors import HwsimError

    changes: dict[str, str] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not (key and equals):
            raise HwsimError(f"--set: must read KEY=VALUE, got {setting!r}; as in --set {example}")
        if key.strip() in changes:
            raise HwsimError(f"--set: must give each option once, got {key.strip()} twice; leave one out")
        changes[key.strip()] = value.strip()
    return changes


def conventions_of(names: Iterable[str], settings: Iterable[str]) -> "list[Convention]":
    """The conventions called `names` (or in those TOML files) with each KEY=VALUE of `settings`; raises HwsimError.

    Results are told apart by the conventions' names, so that each may stand there once.
    """
    from hwsim.cost.table import resolve

    names, changes = tuple(names), changes_of(settings, "attention_bits=8")
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
