"""A product of integers and the requantization of its sums, which leave the registers as codes; and the residual stream's
saturating addition behind it, where there is one."""

from dataclasses import replace

import numpy as np

from hwsim.fusions._products import Product, finish_of
from hwsim.graph import Node, is_product
from hwsim.kernels.memory import empty
from hwsim.kernels.simd.vectors import LANES
from hwsim.op import Array
from hwsim.ops.add import Add
from hwsim.ops.linear import Linear
from hwsim.ops.matmul import MatMul
from hwsim.ops.requantize import Requantize
from hwsim.ops.transpose import Transpose
from hwsim.plan import Step, View


def product_requantize(view: View, node: Node) -> Step | None:
    """One step for linear, conv2d or matmul on integers and what follows it."""
    following = view.only_reader(node.name)
    if not is_product(view.graph, node) or following is None or not isinstance(following.op, Requantize):
        return None
    finish = finish_of(node, following.op, view.graph.specs[node.name], view.graph.specs[following.name])
    if finish is None:
        return None
    product = Product(view, node)

    inside, shape = _heads_inside(view, node, following), view.graph.specs[node.name].shape

    def run(values: tuple[Array, ...]) -> Array:
        if inside:
            heads, rows, columns = shape[1:]
            room = empty((values[0].shape[0], rows, heads, columns), finish.container)
            return product.finished(values, finish, room.transpose(0, 2, 1, 3))
        residual = np.ascontiguousarray(values[2], dtype=finish.container) if len(values) > 2 else None
        return product.finished(values, finish if residual is None else replace(finish, residual=residual))

    add = _residual(view, node, following)
    if add is None:
        return Step(following.name, (node, following), node.inputs, run)
    stream = next(name for name in add.inputs if name != following.name)
    return Step(add.name, (node, following, add), (*node.inputs, stream), run)


def _heads_inside(view: View, node: Node, codes: Node) -> bool:
    """Whether the heads of a product are put side by side at once, because a transpose does nothing else with `codes`."""
    reader = view.only_reader(codes.name)
    if reader is None or not isinstance(reader.op, Transpose) or not isinstance(node.op, MatMul):
        return False
    return reader.op.order == (0, 2, 1, 3) and all(view.graph.specs[name].batched for name in node.inputs)


def _residual(view: View, node: Node, codes: Node) -> Node | None:
    """The saturating addition to the int16 residual stream that alone reads `codes`, if there is one."""
    add, specs = view.only_reader(codes.name), view.graph.specs
    if add is None or not isinstance(add.op, Add) or not isinstance(node.op, Linear) or len(set(add.inputs)) < 2:
        return None
    made, shape = specs[add.name], specs[codes.name].shape
    alike = all(specs[name].quant == made.quant and specs[name].shape == shape for name in add.inputs)
    whole = made.quant is not None and made.quant.container == np.int16 and shape[-1] % LANES == 0
    return add if alike and whole and all(specs[name].batched for name in add.inputs) else None
