"""A linear layer and the floats behind it, a block of rows at a time: dequantize, bias, and then a residual stream, or GELU
and quantize."""

from collections.abc import Callable

import numpy as np

from hwsim.fusions._grids import container_of, dequantized, grids_of, need_finite
from hwsim.fusions._products import Product, Sums
from hwsim.graph import Node, is_product
from hwsim.kernels.float_finish import dequantize_add, dequantize_add_gelu_quantize, dequantize_add_residual
from hwsim.kernels.memory import empty
from hwsim.kernels.team import shared
from hwsim.op import Array
from hwsim.ops.add import Add
from hwsim.ops.gelu import Gelu
from hwsim.ops.linear import Linear
from hwsim.plan import Step, View

ROWS = 192
"""Rows whose sums stay in the second cache."""


def linear_floats(view: View, node: Node) -> Step | None:
    """One step for all of them, or for the first two."""
    graph = view.graph
    if not isinstance(node.op, Linear) or not is_product(view.graph, node):
        return None
    real = dequantized(view, node)
    add = view.only_reader(real.name) if real else None
    if real is None or add is None or not isinstance(add.op, Add):
        return None
    constants = [name for name in add.inputs if name in graph.constants]
    columns = graph.specs[node.name].shape[-1]
    if len(constants) != 1 or graph.constants[constants[0]].shape != (columns,):
        return None
    quant = graph.specs[node.name].quant
    if quant is None or quant.axis not in (None, len(graph.specs[node.name].shape) - 1):
        return None
    scale = np.ascontiguousarray(np.broadcast_to(np.array(quant.scale), (columns,)))
    bias = np.ascontiguousarray(graph.constants[constants[0]], dtype=np.float64)
    product = Product(view, node)
    nodes = (node, real, add)
    return (
        _gelu_codes(view, product, nodes, scale, bias)
        or _residual(view, product, nodes, scale, bias)
        or Step(add.name, nodes, node.inputs, lambda values: _reals(product, values, scale, bias))
    )


def _reals(product: Product, values: tuple[Array, ...], scale: Array, bias: Array) -> Array:
    def work(shape: tuple[int, int, int], sums: Sums) -> Array:
        out = empty(shape, np.float64)

        def some(start: int, stop: int) -> None:
            dequantize_add(sums(start, stop)[0], scale, bias, out[0, start:stop])

        return _by_rows(out, some)

    return product.followed(values, work)


def _residual(view: View, product: Product, nodes: tuple[Node, ...], scale: Array, bias: Array) -> Step | None:
    """With the addition to a float of the same shape, which alone reads the reals."""
    last, specs = view.only_reader(nodes[-1].name), view.graph.specs
    if last is None or not isinstance(last.op, Add) or len(set(last.inputs)) < 2:
        return None
    stream = next(name for name in last.inputs if name != nodes[-1].name)
    ours, theirs = specs[nodes[-1].name], specs[stream]
    if stream in view.graph.constants or theirs.shape != ours.shape or theirs.batched != ours.batched:
        return None

    def run(values: tuple[Array, ...]) -> Array:
        residual = np.ascontiguousarray(values[2], dtype=np.float64).reshape(-1, len(bias))

        def work(shape: tuple[int, int, int], sums: Sums) -> Array:
            out = empty(shape, np.float64)

            def some(start: int, stop: int) -> None:
                dequantize_add_residual(sums(start, stop)[0], scale, bias, residual[start:stop], out[0, start:stop])

            return _by_rows(out, some)

        return product.followed(values, work)

    return Step(last.name, (*nodes, last), (*nodes[0].inputs, stream), run)


def _gelu_codes(view: View, product: Product, nodes: tuple[Node, ...], scale: Array, bias: Array) -> Step | None:
    """With GELU and a quantize of one scale."""
    gelu = view.only_reader(nodes[-1].name)
    if gelu is None or not isinstance(gelu.op, Gelu):
        return None
    last = view.only_reader(gelu.name)
    grids = grids_of(last, (None,))
    if grids is None or last is None:
        return None
    (q_scale,), (q_zero,), qmin, qmax = grids
    container = container_of(view, last)

    def run(values: tuple[Array, ...]) -> Array:
        def work(shape: tuple[int, int, int], sums: Sums) -> Array:
            out = empty(shape, container)

            def some(start: int, stop: int) -> None:
                acc, codes = sums(start, stop)[0], out[0, start:stop]
                need_finite(
                    dequantize_add_gelu_quantize(acc, scale, bias, q_scale, q_zero, qmin, qmax, codes), last.name
                )

            return _by_rows(out, some)

        return product.followed(values, work)

    return Step(last.name, (*nodes, gelu, last), nodes[0].inputs, run)


def _by_rows(out: Array, some: Callable[[int, int], None]) -> Array:
    """`out`, once `some` has made all of its rows, block by block."""

    def part(first: int, past: int) -> None:
        for start in range(first, past, ROWS):
            some(start, min(start + ROWS, past))

    shared(out.shape[1], ROWS, part)
    return out
