"""Which LayerNorm feeds a quantizer, and nothing else: read from the captured program, not from the names of a model.

From a quantizer's input one walks back through operators that move or average whole channels (reshape, permute, roll,
slice, mean over tokens, ...). A per-channel affine map commutes with each of them, so that one put behind the LayerNorm
is the same as one put before the quantizer, provided that every value on the way has a single reader.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from qmodels.tracing import QUANTIZERS, capture, packet_of

MOVES = (
    *("aten.view", "aten.reshape", "aten.flatten", "aten.unsqueeze", "aten.squeeze"),
    *("aten.contiguous", "aten.clone", "aten.alias", "aten.dropout"),
)
"""Row-major rearrangements: channels stay the last axis where its size stays."""


@dataclass(frozen=True, slots=True)
class Source:
    """Of a quantizer: how many axes its input has, and the module path of the LayerNorm that feeds it alone, or ""."""

    rank: int
    norm: str


def sources(model: nn.Module, image: tuple[int, ...]) -> dict[str, Source]:
    """Module path of each quantizer in use -> its Source; `image` is (C, H, W)."""
    program = capture(model, image)
    targets = {spec.arg.name: spec.target for spec in program.graph_signature.input_specs}
    found: dict[str, Source] = {}
    for node in program.graph.nodes:
        if packet_of(node) in QUANTIZERS:
            path = _path(node)
            given = node.args[0]
            while packet_of(given) == "aten.add" and _path(given) == path:
                given = given.args[0]  # the quantizer's own: an offset that it takes off
            norm = "" if path in found else _norm(given, model, targets)  # used twice: it has two sources
            found[path] = Source(given.meta["val"].dim(), norm)
    return found


def _norm(node: torch.fx.Node, model: nn.Module, targets: dict[str, str | None]) -> str:
    """The path of the LayerNorm whose output `node` is, moved or averaged, if nothing else reads it on the way."""
    while _readers(node) == 1 and _keeps_channels(node):
        node = node.args[0]
    if _readers(node) != 1 or packet_of(node) != "aten.layer_norm":
        return ""
    path = _path(node)
    norm = model.get_submodule(path)
    parameters = node.args[2:4]
    own = [isinstance(p, torch.fx.Node) and targets.get(p.name, "") for p in parameters]
    alone = own == [f"{path}.weight", f"{path}.bias"] and all(_readers(p) == 1 for p in parameters)
    return path if alone and isinstance(norm, nn.LayerNorm) else ""


def _keeps_channels(node: torch.fx.Node) -> bool:
    """Whether each channel (last axis) of the result comes from the same channel of the operand, at any weight sum 1."""
    packet, args = packet_of(node), node.args
    source = args[0].meta.get("val") if args and isinstance(args[0], torch.fx.Node) else None
    if not isinstance(source, Tensor):
        return False
    last = source.dim() - 1
    if packet in MOVES:
        result = node.meta["val"]
        return bool(source.dim() and result.dim() and result.shape[-1] == source.shape[-1])
    if packet == "aten.pad":
        return not any(args[1])
    if packet == "aten.permute":
        return args[1][-1] % source.dim() == last
    touched: dict[str, Any] = {
        "aten.transpose": args[1:3],
        "aten.select": args[1:2],
        "aten.slice": args[1:2] or (0,),
        "aten.mean": args[1] if len(args) > 1 else (),
        "aten.roll": args[2] if len(args) > 2 else (),
    }.get(packet, ())
    return bool(touched) and all(axis % source.dim() != last for axis in touched)


def _readers(node: torch.fx.Node) -> int:
    """How many operators read the value; sizes and assertions do not."""
    return sum(user.op == "output" or isinstance(user.meta.get("val"), Tensor | list | tuple) for user in node.users)


def _path(node: torch.fx.Node) -> str:
    """The path of the module that the call stands in."""
    return str(list((node.meta.get("nn_module_stack") or {"": ("", "")}).values())[-1][0])
