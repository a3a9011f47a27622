"""Checkpoints: one safetensors file with every tensor of a model and, as text, what it is and how it was made.

Metadata: `format` = "hwsim-checkpoint/1", `workload` (a name of `workloads.find`), `sha256` (over names, dtypes, shapes
and bytes of the tensors, sorted by name), `torch`, `timm`, `switches` (JSON) where the method is a changed one, `layer_bits`
(JSON, as `bits` of a bits file) where layers have other widths than the workload says, and whatever the maker adds (epochs,
seed, lr, accuracy).
Written whole or not at all. `load` trusts nothing: each way a file can be wrong is one BadFile line.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

import workloads
from hwsim.accel.layer_bits import Widths, parsed
from hwsim.errors import BadFile, HwsimError
from hwsim.tensors import read_tensors, write_tensors
from qmodels import (
    method as methods,
)
from qmodels import (
    models,
    torchvision_shim,  # noqa: F401 - before timm
    widths,
)
from qmodels.layers.rectifier import Rectifier
from qmodels.method import Method
from qmodels.quantizer import SCALE_FLOOR, Quantizer
from qmodels.shift_quantizer import ShiftQuantizer
from workloads.workload import Workload

# isort: split
import timm

FORMAT = "hwsim-checkpoint/1"
REMEDY = "make one with `hwsim train`"


def save(model: nn.Module, workload_name: str, path: Path, extra: dict[str, str] | None = None) -> None:
    """Write the tensors of `model`, built for the workload, to `path`; `extra` goes into the metadata.

    Of scales, those in use are written: a learned one may have gone below zero, which means its absolute value. Widths that
    the workload does not say are written too.
    """
    state = {**model.state_dict(), **{f"{name}.scale": q.positive_scale() for name, q in _quantizers(model)}}
    tensors = {name: tensor.detach().cpu().numpy() for name, tensor in state.items()}
    said = {"workload": workload_name, "torch": torch.__version__, "timm": timm.__version__}
    workload = workloads.find(workload_name)
    own = widths.departing(model, workload.bits, _method(workload, _switches(extra or {}, path)))
    said |= {widths.SOURCE: json.dumps(own)} if own else {}
    write_tensors(tensors, {**(extra or {}), **said}, FORMAT, Path(path))


def load(path: Path) -> tuple[nn.Module, Workload]:
    """The model in `path`, in eval mode, and its workload; raises BadFile or UnknownName."""
    tensors, metadata = read(Path(path))
    workload = workloads.find(metadata["workload"])
    return fill(_shape(workload, metadata, path), tensors, path), workload


def load_as(workload: Workload, path: Path) -> nn.Module:
    """The model in `path`, which must be a checkpoint of `workload`."""
    tensors, metadata = read(Path(path))
    if metadata["workload"] != workload.name:
        raise BadFile(f"{path}: must be a checkpoint of {workload.name}, got one of {metadata['workload']}; {REMEDY}")
    return fill(_shape(workload, metadata, path), tensors, path)


def empty(
    workload: Workload, switches: Mapping[str, str] | None = None, layer_bits: Mapping[str, Widths] | None = None
) -> nn.Module:
    """The model of `workload` with random weights and uncalibrated quantizers, in eval mode.

    `switches` are changes of its method, as `qmodels.method.changed` takes them; `layer_bits` as in `models.quantize`.
    """
    method = _method(workload, switches or {})
    return models.quantize(models.create(workload.model.name), workload.bits, method, layer_bits=layer_bits)


def _method(workload: Workload, switches: Mapping[str, str]) -> Method:
    return methods.changed(methods.find(workload.method), switches)


def _shape(workload: Workload, metadata: Mapping[str, str], path: Path) -> nn.Module:
    """The model that a checkpoint of `workload` with this metadata is of, not filled yet."""
    switches, own = _switches(metadata, path), _layer_bits(metadata, path)
    if own:
        try:
            widths.planned(models.create(workload.model.name), workload.bits, _method(workload, switches), own)
        except HwsimError as error:
            raise BadFile(f"{path}: {error}") from None
    return empty(workload, switches, own)


def _switches(metadata: Mapping[str, str], path: Path) -> dict[str, str]:
    """What a checkpoint changes of the method that it names."""
    try:
        return {str(key): str(text) for key, text in json.loads(metadata.get("switches", "{}")).items()}
    except (ValueError, AttributeError, RecursionError):
        raise BadFile(f"{path}: switches must be a JSON object, got {metadata['switches']!r}; {REMEDY}") from None


def _layer_bits(metadata: Mapping[str, str], path: Path) -> dict[str, Widths]:
    """The widths that a checkpoint gives to layers, {} where it says nothing of them."""
    text = metadata.get(widths.SOURCE, "{}")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise BadFile(f"{path}: {widths.SOURCE} must be a JSON object of [a_bits, w_bits], got {text[:60]!r}; {REMEDY}")
    return dict(parsed(content, f"{path}: {widths.SOURCE}"))


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
    for name, quantizer in _quantizers(model):
        bad = (quantizer.scale < SCALE_FLOOR).nonzero()  # used as something else than it says
        if len(bad):
            at = int(bad[0])
            raise BadFile(
                f"{path}: {name}.scale must be at least {SCALE_FLOOR}, got {quantizer.scale[at].item():.6g} at {at}; {REMEDY}"
            )
        if isinstance(quantizer, ShiftQuantizer):
            try:
                quantizer.spec()
            except ValueError as error:
                raise BadFile(f"{path}: {name} must hold the table of a grid, got {error}; {REMEDY}") from None
    for module in model.modules():
        if isinstance(module, Quantizer | Rectifier):
            module.calibrated = True
    return model.eval()


def _quantizers(model: nn.Module) -> list[tuple[str, Quantizer]]:
    return [(name, module) for name, module in model.named_modules() if isinstance(module, Quantizer)]


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of the checkpoint `path`, checked: a whole file, of our format, finite, digest as stated."""
    tensors, metadata = read_tensors(Path(path), FORMAT, REMEDY)
    if "workload" not in metadata:
        raise BadFile(f"{path}: must name its workload, got none; {REMEDY}")
    workload = workloads.find(metadata["workload"])
    for key, wanted in (("bits", str(workload.bits)), ("method", workload.method)):
        if metadata.get(key, wanted) != wanted:
            raise BadFile(f"{path}: {key} of {workload.name} must be {wanted}, got {metadata[key]}; {REMEDY}")
    return {name: torch.from_numpy(tensor) for name, tensor in tensors.items()}, metadata
