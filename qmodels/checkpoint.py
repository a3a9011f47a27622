"""Checkpoints: one safetensors file with every tensor of a model and, as text, what it is and how it was made.

Metadata: `format` = "hwsim-checkpoint/1", `workload` (a name of `workloads.find`), `sha256` (over names, dtypes, shapes
and bytes of the tensors, sorted by name), `torch`, `timm`, and whatever the maker adds (epochs, seed, lr, accuracy).
Written whole or not at all. `load` trusts nothing: each way a file can be wrong is one BadFile line.
"""

import hashlib
import json
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

import workloads
from hwsim.errors import BadFile
from hwsim.files import write_bytes
from qmodels import (
    models,
    torchvision_shim,  # noqa: F401 - before timm
)
from qmodels.layers.irm import Irm
from qmodels.quantizer import Quantizer
from workloads.workload import Workload

# isort: split
import timm

FORMAT = "hwsim-checkpoint/1"
REMEDY = "make one with `hwsim train`"


def save(model: nn.Module, workload_name: str, path: Path, extra: dict[str, str] | None = None) -> None:
    """Write the tensors of `model`, built for the workload, to `path`; `extra` goes into the metadata."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    metadata = {
        **(extra or {}),
        "format": FORMAT,
        "workload": workload_name,
        "sha256": digest(tensors),
        "torch": torch.__version__,
        "timm": timm.__version__,
    }
    write_bytes(safetensors.torch.save(tensors, dict(sorted(metadata.items()))), Path(path))


def load(path: Path) -> tuple[nn.Module, Workload]:
    """The model in `path`, in eval mode, and its workload; raises BadFile or UnknownName."""
    tensors, metadata = read(Path(path))
    workload = workloads.find(metadata["workload"])
    return fill(empty(workload), tensors, path), workload


def load_as(workload: Workload, path: Path) -> nn.Module:
    """The model in `path`, which must be a checkpoint of `workload`."""
    tensors, metadata = read(Path(path))
    if metadata["workload"] != workload.name:
        raise BadFile(f"{path}: must be a checkpoint of {workload.name}, got one of {metadata['workload']}; {REMEDY}")
    return fill(empty(workload), tensors, path)


def empty(workload: Workload) -> nn.Module:
    """The model of `workload` with random weights and uncalibrated quantizers, in eval mode."""
    return models.quantize(models.create(workload.model.name), workload.bits, workload.method)


def fill(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> nn.Module:
    """Put `tensors` into `model`, whose names and shapes they must have, and mark its quantizers as calibrated."""
    own = model.state_dict()
    for name in sorted(own.keys() | tensors.keys()):
        if name not in tensors:
            raise BadFile(f"{path}: is of another model, got no tensor {name}; check the workload it names")
        if name not in own:
            raise BadFile(f"{path}: is of another model, got an unexpected tensor {name}; check the workload it names")
        if own[name].shape != tensors[name].shape:
            wanted, got = tuple(own[name].shape), tuple(tensors[name].shape)
            raise BadFile(f"{path}: is of another model, {name} must be {wanted}, got {got}; check the workload")
    model.load_state_dict(tensors)
    for module in model.modules():
        if isinstance(module, Quantizer | Irm):
            module.calibrated = True
    return model.eval()


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of the checkpoint `path`, checked: a whole file, of our format, finite, digest as stated."""
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = "nothing" if isinstance(error, FileNotFoundError) else error.strerror
        raise BadFile(f"{path}: must be a checkpoint file, got {reason}; {REMEDY}") from None
    metadata = _metadata(data, path)
    if metadata.get("format") != FORMAT or "workload" not in metadata:
        got = metadata.get("format", "no format")
        raise BadFile(f"{path}: must be a checkpoint of format {FORMAT}, got {got}; {REMEDY}")
    try:
        tensors = safetensors.torch.load(data)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise BadFile(f"{path}: is a damaged safetensors file, got {error}; {REMEDY}") from None
    for name, tensor in sorted(tensors.items()):
        bad = (~tensor.isfinite()).flatten().nonzero()
        if len(bad):
            where = [int(i) for i in torch.unravel_index(bad[0, 0], tensor.shape)]
            raise BadFile(f"{path}: values must be finite, got {tensor[tuple(where)]} in {name} at {where}; {REMEDY}")
    if digest(tensors) != metadata.get("sha256"):
        got = digest(tensors)[:12]
        raise BadFile(f"{path}: tensors must have sha256 {metadata.get('sha256', '')[:12]}, got {got}; {REMEDY}")
    return tensors, metadata


def digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over name, dtype, shape and bytes of each tensor, sorted by name, in hexadecimal."""
    state = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        state.update(tensor.contiguous().numpy().tobytes())
    return state.hexdigest()


def _metadata(data: bytes, path: Path) -> dict[str, str]:
    """The metadata in the header of a safetensors file: 8 bytes of length, JSON, then the tensors' bytes."""
    length = int.from_bytes(data[:8], "little")
    try:
        if len(data) < 9 or data[8:9] != b"{":
            raise ValueError
        if length > len(data) - 8:
            raise BadFile(f"{path}: is truncated, header must have {length} bytes, got {len(data) - 8}; {REMEDY}")
        header = json.loads(data[8 : 8 + length])
        ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
        metadata = dict(header.get("__metadata__", {}))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise BadFile(f"{path}: must be a safetensors file, got {data[:4]!r} at its start; {REMEDY}") from None
    size = max(ends, default=0)
    if len(data) - 8 - length < size:
        raise BadFile(f"{path}: is truncated, tensors must have {size} bytes, got {len(data) - 8 - length}; {REMEDY}")
    return metadata
