"""Options that several verbs share, and what they mean."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from workloads.workload import Workload

Json = Annotated[str | None, typer.Option("--json", metavar="FILE|-", help="Also write the result as JSON.")]
Wbits = Annotated[int, typer.Option("--wbits", help="Bits of the weights: 1..8, or 32 for float.")]
Abits = Annotated[int, typer.Option("--abits", help="Bits of the activations: 1..8, or 32 for float.")]
Ends = Annotated[int, typer.Option("--ends", help="Bits of the patch embedding and the heads: 1..8, or 32.")]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="Worker threads; all cores by default (of each process, with --jobs)."),
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
