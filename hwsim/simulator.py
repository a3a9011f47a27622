"""The bit-accurate simulator: an environment, a loop, a write.

Codes and accumulators live in integer containers, float islands in float64. Images are processed in small chunks on a
pool of threads; a chunk's result depends on its images alone, so the number of threads and the size of a chunk cannot
change a single bit. Where there are more threads than chunks, several share the work of one.
"""

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from hwsim.catalog import unknown
from hwsim.errors import HwsimError
from hwsim.graph import Graph, Node
from hwsim.kernels.team import blas_alone, leading
from hwsim.op import Array
from hwsim.ops.quantize import Quantize
from hwsim.plan import plan
from hwsim.spec import BipolarSpec, TensorSpec

CHUNK = 4
"""Images per task unless the caller says otherwise: fits the caches, and is enough to amortise a call."""

Progress = Callable[[int, int], None]


class Environment(dict[str, Array]):
    """The values made so far of one chunk of images, by name; `first` is the index of the chunk's first image."""

    __slots__ = ("first",)

    def __init__(self, values: Mapping[str, Array], first: int = 0) -> None:
        super().__init__(values)
        self.first = first


Execute = Callable[[Graph, Node, Environment], Array]
"""How one node is executed: graph, node, and the values made so far; gives the node's value."""


def run_node(graph: Graph, node: Node, values: Mapping[str, Array]) -> Array:
    """The value of `node`, by its operator; an error says which node it is."""
    try:
        operands = tuple(values[name] for name in node.inputs)
        return node.op.run(operands, graph.inputs_of(node), graph.specs[node.name])
    except HwsimError as error:
        raise type(error)(f"{node.name}: {error}") from None


def simulate(
    graph: Graph,
    feeds: Mapping[str, Array],
    keep: Collection[str] = (),
    *,
    replace: Mapping[str, Array] | None = None,
    threads: int | None = None,
    chunk: int = CHUNK,
    progress: Progress | None = None,
    execute: Execute = run_node,
    first: int = 0,
) -> dict[str, Array]:
    """Run `graph` on `feeds`: the arrays of the outputs and of every node named in `keep`, for all images.

    feeds: for each graph input an array (images, ...) as its spec says. replace: values (images, ...) that stand in for
    a node's own after it was computed (and kept), to feed a node with a reference's values. progress is called with
    images done and images in all. execute: what runs a node, for studies of other arithmetic (`hwsim.study`); it is
    called from several threads, and finds in its environment which images it has: they are counted from `first`, for
    callers that give a data set in parts. Raises HwsimError where a feed is missing, misshapen,
    of another type or not finite.
    """
    images = check_feeds(graph, feeds)
    forced = dict(replace or {})
    wanted = dict.fromkeys((*graph.outputs, *keep))
    for name in wanted:
        if name not in graph.specs:
            raise unknown("node", name, graph.specs)
    for name, value in forced.items():
        spec = graph.specs[graph.node(name).name]
        shape = (images * spec.shape[0], *spec.shape[1:]) if spec.batched else spec.shape
        if value.shape != shape:
            raise HwsimError(f"{name}: a replacement must have shape {shape}, got {value.shape}; give all images")
        _check_codes(name, value, spec)
        forced[name] = np.asarray(value, dtype=np.float64 if spec.quant is None else spec.quant.container)
    team = threads or os.cpu_count() or 1
    chunk = max(1, min(chunk, -(-images // team)))
    starts = range(0, images, chunk)
    workers = min(team, len(starts))

    def one(start: int) -> dict[str, Array]:
        stop = min(start + chunk, images)
        part = {name: _images(value, graph.specs[name], start, stop) for name, value in {**feeds, **forced}.items()}
        with leading(team // workers):
            return _run(graph, part, first + start, wanted, forced, execute)

    parts: list[dict[str, Array]] = []
    with blas_alone(), ThreadPoolExecutor(workers) as pool:
        try:
            for done, part in enumerate(pool.map(one, starts), 1):
                parts.append(part)
                if progress:
                    progress(min(done * chunk, images), images)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return {name: _joined(parts, name, graph.specs[name]) for name in wanted}


def as_codes(graph: Graph, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """`feeds` as `graph` takes them: floats become codes (S2) where its input is of codes, all else stays as it is."""
    made = dict(feeds)
    for name, value in feeds.items():
        quant = graph.specs[name].quant if name in graph.inputs else None
        if quant is not None and value.dtype.kind == "f":
            spec = TensorSpec(value.shape, None)
            try:
                made[name] = Quantize(quant).run((value,), (spec,), TensorSpec(value.shape, quant))
            except HwsimError as error:
                raise type(error)(f"{name}: {error}") from None
    return made


def check_feeds(graph: Graph, feeds: Mapping[str, Array]) -> int:
    """How many images `feeds` hold; raises HwsimError naming the input that is missing, or does not fit."""
    for name in feeds:
        if name not in graph.inputs:
            raise unknown("input", name, graph.inputs)
    counts: set[int] = set()
    for name in graph.inputs:
        shape = graph.specs[name].shape
        if name not in feeds:
            raise HwsimError(f"{name}: every input of the graph must be fed, got {sorted(feeds)}; add it")
        value = feeds[name]
        if value.ndim != len(shape) or value.shape[1:] != shape[1:] or value.shape[0] == 0 or value.shape[0] % shape[0]:
            raise HwsimError(f"{name}: images must have shape (images, *{shape[1:]}), got {value.shape}; resize them")
        if graph.specs[name].quant is None and value.dtype.kind != "f":
            raise HwsimError(
                f"{name}: images must be floats, got {value.dtype}; scale and normalise them as in training"
            )
        if not np.isfinite(value).all():
            raise HwsimError(f"{name}: images must be finite, got NaN or infinity; clean them")
        _check_codes(name, value, graph.specs[name])
        counts.add(int(value.shape[0]) // shape[0])
    if len(counts) != 1:
        raise HwsimError(f"{graph.name}: inputs must hold equally many images, got {sorted(counts)}; cut the longer")
    return counts.pop()


def _check_codes(name: str, value: Array, spec: TensorSpec) -> None:
    """Raise HwsimError where the fed input is of codes and one is out of its range, or no integer at all."""
    if spec.quant is None:
        return
    low, high = spec.quant.qmin, spec.quant.qmax
    if value.dtype.kind not in "iu" or value.min() < low or value.max() > high:
        got = f"{value.dtype} {value.min()}..{value.max()}"
        raise HwsimError(f"{name}: codes must be integers in {low}..{high}, got {got}; quantize them")
    if isinstance(spec.quant, BipolarSpec) and not value.all():
        raise HwsimError(f"{name}: bipolar codes must be -1 or 1, got 0; quantize them")


def _run(
    graph: Graph,
    feeds: Mapping[str, Array],
    first: int,
    keep: Collection[str],
    forced: Collection[str],
    execute: Execute,
) -> dict[str, Array]:
    """One chunk, whose first image has the index `first`; values are dropped after their last use."""
    if execute is run_node:
        return _run_plan(graph, feeds, keep, forced)
    environment = Environment(graph.constants, first)
    for name in graph.inputs:
        quant = graph.specs[name].quant
        environment[name] = np.asarray(feeds[name], dtype=np.float64 if quant is None else quant.container)
    kept = {name: environment[name] for name in keep if name in environment}
    last = graph.last_uses()
    for index, node in enumerate(graph.nodes):
        value = execute(graph, node, environment)
        if node.name in keep:
            kept[node.name] = value
        environment[node.name] = feeds[node.name] if node.name in forced else value
        for name in {*node.inputs, node.name}:
            if last[name] == index:
                del environment[name]
    return kept


def _run_plan(
    graph: Graph, feeds: Mapping[str, Array], keep: Collection[str], forced: Collection[str]
) -> dict[str, Array]:
    """One chunk, by the graph's plan."""
    planned = plan(graph, (*keep, *forced))
    environment = dict(graph.constants)
    for name in graph.inputs:
        quant = graph.specs[name].quant
        environment[name] = np.asarray(feeds[name], dtype=np.float64 if quant is None else quant.container)
    kept = {name: environment[name] for name in keep if name in environment}
    for index, step in enumerate(planned.steps):
        value = step.run(tuple(environment[name] for name in step.inputs))
        if step.name in keep:
            kept[step.name] = value
        environment[step.name] = feeds[step.name] if step.name in forced else value
        for name in {*step.inputs, step.name}:
            if planned.last_uses[name] == index:
                del environment[name]
    return kept


def _images(value: Array, spec: TensorSpec, start: int, stop: int) -> Array:
    if not spec.batched:
        return value
    per_image = spec.shape[0]
    return value[start * per_image : stop * per_image]


def _joined(parts: list[dict[str, Array]], name: str, spec: TensorSpec) -> Array:
    if not spec.batched:
        return parts[0][name]
    return np.concatenate([part[name] for part in parts], axis=0)


def chunks(images: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` images that cover them all, for callers that must bound their own memory."""
    for start in range(0, images, size):
        yield slice(start, min(start + size, images))
