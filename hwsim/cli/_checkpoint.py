"""A checkpoint as a command names it: a file, or a workload that has one."""

from pathlib import Path
from typing import TYPE_CHECKING

from hwsim.errors import HwsimError

if TYPE_CHECKING:
    from workloads.workload import Workload


def need_unfinished(out: Path, resume: bool) -> None:
    """Raise HwsimError where `--resume` should go on with `out`, which is done: it is there, without a state."""
    state = out.with_name(f"{out.name}.state")
    if resume and out.exists() and not state.exists():
        raise HwsimError(
            f"{out}: --resume goes on from {state}, got a checkpoint without it, which is done; leave out --resume to make "
            "it anew, or choose another --out"
        )


def checkpoint_of(name: str) -> "tuple[Workload, Path | None]":
    """The workload and its checkpoint file, None where it is the shipped one; raises HwsimError where there is none."""
    import workloads
    from qmodels import checkpoint as checkpoints

    file = Path(name)
    if file.suffix or file.is_file() or len(file.parts) > 1:
        return workloads.find(checkpoints.read(file)[1]["workload"]), file
    found = workloads.find(name)
    if not found.checkpoint:
        raise HwsimError(f"{name}: weights are needed, got none with it; give a checkpoint file")
    return found, None
