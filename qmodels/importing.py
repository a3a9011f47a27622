"""Checkpoints of other projects as ours: `q-vit`, the files that Q-ViT's authors released (code at commit ab9580c).

Such a file is a pickle, read with torch.load(weights_only=True), which makes tensors, numbers, texts and argparse's
Namespace (their training options) and runs nothing. Of it, `model` is taken, a state dict:

    theirs                                       ours
    X.alpha, X.act.alpha                         X.weight_quantizer.scale, X.input_quantizer.scale
    X.act.zero_point                             X.input_quantizer.zero_point
    A.norm_q.weight, A.norm_k.weight             A.q_norm.weight, A.k_norm.weight
    A.q_act.alpha, k_act, v_act, attn_act        A.qk.a_quantizer.scale, qk.b, av.b, av.a
    init_state, signed (of each quantizer)       whether it was ever trained; what its codes are

Their codes are clamp(round(x / alpha + zero_point), least, most), where `least` is -2^(b-1) if signed, else 0; ours are
unsigned, so that signed ones move by 2^(b-1), which changes no value. Theirs let the zero point leave the range of the
codes, ours do not: such ones are clamped, and counted. What is then left of difference is in x / alpha being a tie.
"""

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hwsim import catalog
from hwsim.errors import BadFile, HwsimError
from qmodels import checkpoint
from qmodels import method as methods
from qmodels.quantizer import SCALE_FLOOR, Quantizer
from workloads.workload import Workload

SOURCES = {"q-vit": "qvit_released"}
"""What can be imported, and the method of the workloads that it is for."""
_QUANTIZERS = {
    "qk.a_quantizer": "q_act",
    "qk.b_quantizer": "k_act",
    "av.a_quantizer": "attn_act",
    "av.b_quantizer": "v_act",
}
_BITS = {"twobits": 2, "threebits": 3, "fourbits": 4}
"""How the names of their models begin, among the options that a file holds."""


@dataclass(frozen=True, slots=True)
class Imported:
    """The model, in eval mode; how many tensors it took, and how many of how many zero points had to be clamped."""

    model: nn.Module
    tensors: int
    clamped: int
    zero_points: int

    def __str__(self) -> str:
        said = f"{self.tensors} tensors"
        if self.clamped:
            said += f"; {self.clamped} of {self.zero_points} zero points lay outside their codes and were clamped"
        return said


def read(source: str, path: Path, workload: Workload) -> Imported:
    """The checkpoint `path` of the project `source` as a model of `workload`; raises BadFile, UnknownName, HwsimError."""
    if source not in SOURCES:
        raise catalog.unknown("source", source, SOURCES)
    if workload.method != SOURCES[source]:
        raise HwsimError(
            f"{workload.name}: a checkpoint of {source} is of the method {SOURCES[source]}, got {workload.method}; name the "
            f"workload {workload.model.name}_{workload.bits.name}_{SOURCES[source]}"
        )
    theirs = _state(path, workload)
    model = checkpoint.empty(workload)
    taken: dict[str, Tensor] = {}
    used: set[str] = set()
    clamped = zero_points = 0
    for name, module in model.named_modules():
        if isinstance(module, Quantizer):
            scale, zero_point, keys = _grid(path, theirs, name, module)
            legal = zero_point.clamp(module.qmin, module.qmax)
            clamped += int((zero_point.round() != legal.round()).sum())
            zero_points += zero_point.numel()
            taken |= {f"{name}.scale": scale, f"{name}.zero_point": legal}
            used |= keys
    for name in model.state_dict().keys() - taken.keys():
        key = re.sub(r"\.([qk])_norm\.", r".norm_\1.", name)
        taken[name] = _tensor(path, theirs, key)
        used.add(key)
    unknown = sorted(theirs.keys() - used)
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise BadFile(
            f"{path}: {workload.name} has no place for {unknown[0]}{more}; check model and method of the workload"
        )
    return Imported(checkpoint.fill(model, taken, path), len(taken), clamped, zero_points)


def _state(path: Path, workload: Workload) -> dict[str, Tensor]:
    """The state dict in the file, checked to hold finite tensors alone, and to be of the workload's bits if it says."""
    remedy = "give a .pth file of the project"
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise BadFile(f"{path}: no such file; {remedy}") from None
    except Exception as error:  # noqa: BLE001 - a damaged pickle can end in any
        reason = (str(error).strip().splitlines() or [""])[0][:120] or type(error).__name__
        raise BadFile(
            f"{path}: must be tensors that torch.load reads without running code, got {reason}; {remedy}"
        ) from None
    state: Any = content.get("model", content) if isinstance(content, dict) else content
    if not isinstance(state, dict) or not state or not all(_plain(*entry) for entry in state.items()):
        raise BadFile(f"{path}: must hold a state dict, alone or as `model`, got {type(content).__name__}; {remedy}")
    for key, value in sorted(state.items()):
        if not value.double().isfinite().all():
            raise BadFile(f"{path}: {key} must be finite, got {value[~value.double().isfinite()][0].item()}; {remedy}")
    named = str(getattr(content.get("args"), "model", ""))
    bits = _BITS.get(named.partition("_")[0])
    if bits and (bits, bits) != (workload.bits.weights, workload.bits.activations):
        raise BadFile(f"{path}: is of {named}, got the workload {workload.name}; name one at w{bits}a{bits}")
    return state


def _plain(key: object, value: object) -> bool:
    """Whether an entry of a state dict is a name and real numbers in memory."""
    usual = isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"
    return isinstance(key, str) and usual and not (value.is_quantized or value.is_complex())


def _grid(path: Path, theirs: dict[str, Tensor], name: str, ours: Quantizer) -> tuple[Tensor, Tensor, set[str]]:
    """Scale and zero point, in our codes, of the quantizer `name`, and the keys that they came from."""
    parent, _, own = name.rpartition(".")
    if own == "weight_quantizer":
        stem, parts = parent, ("alpha", "init_state")
    else:
        attention, _, product = parent.rpartition(".")
        short = _QUANTIZERS.get(f"{product}.{own}")
        stem = f"{attention}.{short}".lstrip(".") if short else f"{parent}.act"
        parts = ("alpha", "init_state", "zero_point", "signed")
    found = {part: _tensor(path, theirs, f"{stem}.{part}") for part in parts}
    for part in parts:
        if found[part].numel() != 1 and (part in ("init_state", "signed") or not found[part].numel()):
            raise BadFile(
                f"{path}: {stem}.{part} must hold one number, got {found[part].numel()}; check model and method of the "
                "workload"
            )
    if found["init_state"].item() != 1:
        raise BadFile(
            f"{path}: {stem}.init_state must be 1, got {found['init_state'].item():g}; train it first, or another"
        )
    scale = found["alpha"].float()
    if scale.min() < SCALE_FLOOR:
        raise BadFile(
            f"{path}: {stem}.alpha must be at least {SCALE_FLOOR}, got {scale.min().item():.6g}; give another"
        )
    if own == "weight_quantizer":
        zero_point = torch.zeros_like(scale)
    else:
        moved = 2 ** (ours.bits - 1) if found["signed"].item() else 0
        zero_point = found["zero_point"].float().round() + moved
    return scale, zero_point, {f"{stem}.{part}" for part in parts}


def _tensor(path: Path, theirs: dict[str, Tensor], key: str) -> Tensor:
    if key not in theirs:
        near = catalog.nearest(key, theirs)[0]
        raise BadFile(
            f"{path}: must have a tensor {key}, got none, nearest {near}; check model and method of the workload"
        )
    return theirs[key]


def save(imported: Imported, source: str, path: Path, workload: Workload) -> None:
    """Write the model as a checkpoint of ours."""
    said = {"bits": str(workload.bits), "method": methods.find(workload.method).name, "source": source}
    checkpoint.save(imported.model, workload.name, path, said)
