"""Going on after a kill: the student after each unit, in one file that is whole or not there, of one process at a time.

Beside the tensors it says of what form each quantizer is, since a step may have put one of another form in place of the
method's own, and how far the calibration was.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn

from hwsim.errors import BadFile, HwsimError
from hwsim.tensors import read_tensors, write_tensors
from qmodels import quantizer as quantizers
from qmodels.identity import need_same
from qmodels.quantizer import Quantizer

FORMAT = "hwsim-calibration/1"
REMEDY = "remove it, and calibrate from the beginning"


@dataclass(frozen=True, slots=True)
class Place:
    """Stages and units of the stage that are done, seconds that they took, and what steps noted."""

    stage: int = 0
    unit: int = 0
    seconds: float = 0.0
    notes: dict[str, float] = field(default_factory=dict)


def path_of(out: Path) -> Path:
    """The file of the state of a calibration that will write `out`."""
    return out.with_name(f"{out.name}.state")


@contextmanager
def claimed(out: Path) -> Iterator[None]:
    """Within, no other calibration writes `out` and the state beside it; raises HwsimError where one does now.

    The lock lies beside `out` as long, and the system lets go of it where the process ends before.
    """
    path = out.with_name(f"{out.name}.lock")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if path_of(out).is_dir():
            raise IsADirectoryError(f"a folder at {path_of(out)}, where the state goes")
        held = path.open("ab")
    except OSError as error:
        raise BadFile(f"{out}: cannot be written, got {error.strerror or error}; choose another place") from None
    with held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            theirs = not path.exists() or not os.path.samestat(os.fstat(held.fileno()), path.stat())
        except BlockingIOError:
            theirs = True
        if theirs:
            raise HwsimError(
                f"{out}: must be written by one calibration at a time, got another that is under way; wait for its end, or "
                "choose another --out"
            )
        try:
            yield
        finally:
            with suppress(OSError):
                if not path.stat().st_size:  # ours
                    path.unlink()


def write(path: Path, identity: Mapping[str, str], place: Place, model: nn.Module) -> None:
    """Write the state, whole or not at all."""
    said = {"identity": dict(identity), "place": asdict(place), "forms": forms(model)}
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in model.state_dict().items()}
    write_tensors(arrays, {key: json.dumps(value) for key, value in said.items()}, FORMAT, path)


def read(path: Path, identity: Mapping[str, str], model: nn.Module) -> Place:
    """Put the state in `path` into `model`, and say how far it is; raises BadFile where it is another calibration's."""
    arrays, metadata = read_tensors(path, FORMAT, REMEDY)
    need_same(path, json.loads(metadata["identity"]), identity, "calibration")
    made = {name: _made(form) for name, form in json.loads(metadata["forms"]).items()}
    for name, quantizer in made.items():
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, quantizer.train(model.training))
    model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    return Place(**json.loads(metadata["place"]))


def forms(model: nn.Module) -> dict[str, dict[str, object]]:
    """Of each quantizer, by path, what it takes to make one like it."""
    return {
        name: {
            "quantizer": type(module).__module__.rpartition(".")[2],
            "bits": module.bits,
            "signed": module.qmin < 0,
            "axis": module.axis,
            "size": module.scale.numel(),
            "batched": module.batched,
            "channels": 1 if module.offset is None else module.offset.numel(),
            "calibrated": module.calibrated,
        }
        for name, module in model.named_modules()
        if isinstance(module, Quantizer)
    }


def _made(form: dict[str, object]) -> nn.Module:
    calibrated = form.pop("calibrated")
    name, bits = form.pop("quantizer"), form.pop("bits")
    made = quantizers.make(name, bits, **form)  # type: ignore[arg-type]
    made.calibrated = calibrated
    return made
