"""Rules of layout operators, which move values and compute none: codes pass them as codes.

A permutation that takes the batch off the front waits, as the `order` of an Activation, for a slice to bring it back.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from hwsim.errors import IllegalModel
from hwsim.ops.concat import Concat
from hwsim.ops.pad import Pad
from hwsim.ops.reshape import Reshape
from hwsim.ops.roll import Roll
from hwsim.ops.slice import Slice
from hwsim.ops.transpose import Transpose
from qmodels.tracer import Activation, Constant, Rule, Site, Tracer

WHOLE = 2**63 - 1
"""How ATen writes the open end of a slice."""


def _reshape(t: Tracer, site: Site, x: Activation, *_: Any) -> Activation:
    return t.emit(site.local("reshape"), Reshape(site.shape), t.operand(x, site.path), quantized=x.quantized)


def _permute(t: Tracer, site: Site, x: Activation, dims: Sequence[int]) -> Activation:
    rank = len(dims)
    order = tuple(d % rank for d in dims)
    if x.order:
        raise IllegalModel(f"{site.path}: the batch must stay the leading axis, got two permutations; slice in between")
    if order[0] != 0:
        return Activation(x.name, x.quantized, order)
    return t.emit(site.local("transpose"), Transpose(order), x.name, quantized=x.quantized)


def _transpose(t: Tracer, site: Site, x: Activation, first: int, second: int) -> Activation:
    order = list(range(len(site.shape)))
    order[first], order[second] = order[second], order[first]
    return _permute(t, site, x, order)


def _unbind(t: Tracer, site: Site, x: Activation, dim: int = 0) -> list[Activation]:
    return [_select(t, site, x, dim, index) for index in range(len(site.parts))]


def _select(t: Tracer, site: Site, x: Activation, dim: int, index: int) -> Activation:
    order = x.order or tuple(range(len(site.shape) + 1))
    axis = order[dim % len(order)]
    if index < 0:
        raise IllegalModel(f"{site.path}: an index is counted from the start, got {index}; write it so")
    part = t.emit(site.local("slice"), Slice(axis, index, index + 1, drop=True), x.name, quantized=x.quantized)
    rest = tuple(o - (o > axis) for o in order if o != axis)
    return part if rest == tuple(range(len(rest))) else _permute(t, site, part, rest)


def _slice(
    t: Tracer, site: Site, x: Activation, dim: int = 0, start: int | None = None, end: Any = None, step: int = 1
) -> Activation | Constant:
    """A range of an axis; where it holds nothing (the prefix of a model without class token), a constant of no elements."""
    begin = start or 0
    if dim == 0 and begin == 0 and end == WHOLE and step == 1:
        return x
    if dim == 0 or begin < 0:
        raise IllegalModel(
            f"{site.path}: a slice starts inside an axis behind the batch, got axis {dim}, start {start}; rewrite it"
        )
    if site.shape[dim] == 0:
        return Constant(torch.empty(site.shape, dtype=torch.float64), "nothing")
    stop = begin + (site.shape[dim] - 1) * step + 1
    return t.emit(site.local("slice"), Slice(dim, begin, stop, step), x.name, quantized=x.quantized)


def _cat(t: Tracer, site: Site, parts: Sequence[Activation | Constant], dim: int = 0) -> Activation | Constant:
    parts = [part for part in parts if not (isinstance(part, Constant) and part.tensor.numel() == 0)]
    if len(parts) == 1:
        return parts[0]
    name = site.local("concat")
    return t.emit(name, Concat(dim % len(site.shape)), *(t.real(p, f"{name}.{p.name}") for p in parts))


def _roll(t: Tracer, site: Site, x: Activation, shifts: Sequence[int], dims: Sequence[int] = ()) -> Activation:
    op = Roll(tuple(shifts), tuple(d % len(site.shape) for d in dims))
    return t.emit(site.local("roll"), op, x.name, quantized=x.quantized)


def _pad(
    t: Tracer, site: Site, x: Activation, pad: Sequence[int], mode: str = "constant", value: Any = None
) -> Activation:
    if not any(pad):
        return x
    lowest = value == -math.inf
    if mode != "constant" or not (lowest or not value):
        raise IllegalModel(f"{site.path}: padding is zeros or -inf, got {mode} {value}; pad with zeros")
    unpadded = [0] * (len(site.shape) - len(pad) // 2)
    before, after = ((*unpadded, *(int(n) for n in reversed(pad[side::2]))) for side in (0, 1))
    return t.emit(site.local("pad"), Pad(before, after, lowest), t.operand(x, site.path), quantized=x.quantized)


def _expand(t: Tracer, site: Site, x: Constant | Activation, sizes: Sequence[Any]) -> Constant | Activation:
    """A constant repeated for every image stays itself: operators broadcast it."""
    if not isinstance(x, Constant) or tuple(x.tensor.shape) != (1, *site.shape[1:]):
        raise IllegalModel(f"{site.path}: only a constant is repeated along the batch, got {x}; concatenate instead")
    return replace(x, repeated=True)


def _same(t: Tracer, site: Site, x: Activation, *_: Any, **__: Any) -> Activation:
    return x


def _split(t: Tracer, site: Site, x: Activation, how: Any, dim: int = 0) -> list[Activation]:
    """Pieces of an axis, however their sizes were given: they are in the shapes of the results."""
    if x.order or dim % len(site.shape) == 0:
        raise IllegalModel(f"{site.path}: an axis behind the batch is split, got {dim}; permute before")
    axis, start, pieces = dim % len(site.shape), 0, []
    for shape in site.parts:
        piece = t.emit(site.local("slice"), Slice(axis, start, start + shape[axis]), x.name, quantized=x.quantized)
        pieces.append(piece)
        start += shape[axis]
    return pieces


def _stack(
    t: Tracer, site: Site, parts: Sequence[Activation | Constant], dim: int = 0
) -> Activation | list[Activation | Constant]:
    """Along a new axis; in front of the batch the parts wait for the sum that takes them together again."""
    axis = dim % len(site.shape)
    if axis == 0:
        return list(parts)
    shape = (*site.shape[:axis], 1, *site.shape[axis + 1 :])
    name = site.local("stack")
    single = [t.emit(f"{name}.reshape", Reshape(shape), t.real(part, f"{name}.{part.name}")) for part in parts]
    return t.emit(name, Concat(axis), *(part.name for part in single))


def _repeat_interleave(t: Tracer, site: Site, x: Activation, repeats: int, dim: int, **_: Any) -> Activation:
    """Each index of an axis several times, side by side: the heads of k and v, where several of q share one."""
    axis, (source, name) = dim % len(site.shape), (t.real(x), site.local("repeat"))
    once = (*site.shape[:axis], site.shape[axis] // repeats, 1, *site.shape[axis + 1 :])
    apart = t.emit(f"{name}.reshape", Reshape(once), source)
    together = t.emit(name, Concat(axis + 1), *[apart.name] * repeats)
    return t.emit(f"{name}.reshape", Reshape(site.shape), together.name)


def _cast(t: Tracer, site: Site, x: Activation, *how: Any, **named: Any) -> Activation:
    """Floats stay in float64, whatever kind of float a module casts them to."""
    kinds = [k for k in (*how, *named.values()) if isinstance(k, torch.dtype)]
    if any(not kind.is_floating_point for kind in kinds):
        raise IllegalModel(f"{site.path}: an activation stays a float, got a cast to {kinds}; leave it out")
    return x


RULES: dict[str, Rule] = {
    "aten.reshape": _reshape,
    "aten.view": _reshape,
    "aten.flatten": _reshape,
    "aten.unsqueeze": _reshape,
    "aten.squeeze": _reshape,
    "aten.permute": _permute,
    "aten.transpose": _transpose,
    "aten.unbind": _unbind,
    "aten.select": _select,
    "aten.slice": _slice,
    "aten.cat": _cat,
    "aten.chunk": _split,
    "aten.split": _split,
    "aten.split_with_sizes": _split,
    "aten.tensor_split": _split,
    "aten.stack": _stack,
    "aten.repeat_interleave": _repeat_interleave,
    "aten.roll": _roll,
    "aten.pad": _pad,
    "aten.expand": _expand,
    "aten.expand_as": _same,
    "aten.to": _cast,
    "aten.type_as": _same,
    "aten.dropout": _same,
    "aten.contiguous": _same,
    "aten.clone": _same,
    "aten.alias": _same,
}
