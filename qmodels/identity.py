"""Whether what was begun is what is asked for now: the settings that a state keeps, key by key, and a model's tensors."""

from collections.abc import Mapping
from pathlib import Path

from torch import nn

from hwsim import tensors
from hwsim.errors import BadFile

TEACHER = "teacher_weights"
"""Under which key a checkpoint or a state says which float weights it began with."""


def digest(model: nn.Module) -> str:
    """A hash of all tensors of `model`, in 16 hexadecimal digits."""
    return tensors.digest({name: tensor.cpu().numpy() for name, tensor in model.state_dict().items()}, {})[:16]


def need_same(path: Path, kept: Mapping[str, str], wanted: Mapping[str, str], work: str) -> None:
    """Raise BadFile for the first key of which `path`, a state of a `work` that was begun, has kept another value."""
    for key in sorted(kept.keys() | wanted.keys(), key=list({**wanted, **kept}).index):
        if kept.get(key) != wanted.get(key):
            now, then = (values.get(key, "its usual value") for values in (wanted, kept))
            raise BadFile(
                f"{path}: {key} must be {now} to go on, got {then} from the {work} that was begun; "
                "go on with its settings, leave out --resume, or choose another --out"
            )
