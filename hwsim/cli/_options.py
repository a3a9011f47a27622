"""Options that several verbs share, and what they mean."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from workloads.workload import Workload

Json = Annotated[str | None, typer.Option("--json", metavar="FILE|-", help="Also write the result as JSON.")]
Wbits = Annotated[int, typer.Option("--wbits", help="Bits of the weights: 1..8, or 32 for float.")]
Abits = Annotated[int, typer.Option("--abits", help="Bits of the activations: 1..8, or 32 for float.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Worker threads; all cores by default.")]


def workload_of(model: str, wbits: int, abits: int) -> "Workload":
    """The workload of `model` at these bits; raises UnknownName or HwsimError."""
    import workloads
    from workloads import models
    from workloads.bits import Bits

    models.find(model)
    Bits(wbits, abits)
    return workloads.find(f"{model}_w{wbits}a{abits}")
