"""What attention gives: a product per head, dequantize, heads side by side, quantize of one scale; quantized before the codes
are moved, which are an eighth of the floats."""

import numpy as np

from hwsim.fusions._grids import container_of, dequantized, grids_of, need_finite
from hwsim.fusions._products import Product, Sums
from hwsim.graph import Node, is_product
from hwsim.kernels.float_groups import sums_to_codes
from hwsim.kernels.memory import empty
from hwsim.op import Array
from hwsim.ops.matmul import MatMul
from hwsim.ops.reshape import Reshape
from hwsim.ops.transpose import Transpose
from hwsim.plan import Step, View


def heads_codes(view: View, node: Node) -> Step | None:
    """One step from the product to the codes."""
    specs = view.graph.specs
    real = dequantized(view, node) if isinstance(node.op, MatMul) and is_product(view.graph, node) else None
    quant = specs[node.name].quant
    if real is None or quant is None or quant.axis not in (None, len(specs[node.name].shape) - 3):
        return None
    moves = []
    last = view.only_reader(real.name)
    while last is not None and isinstance(last.op, Transpose | Reshape):
        moves.append(last)
        last = view.only_reader(last.name)
    grids = grids_of(last, (None,))
    if last is None or grids is None:
        return None
    product, scale, container = Product(view, node), np.array(quant.scale), container_of(view, last)
    moved = [(move.op, view.graph.inputs_of(move), specs[move.name]) for move in moves]

    def run(values: tuple[Array, ...]) -> Array:
        def work(sizes: tuple[int, int, int], sums: Sums) -> Array:
            out = empty(sizes, container)
            need_finite(sums_to_codes(sums(0, sizes[1]), scale, *grids, out), last.name)
            return out

        codes = product.followed(values, work)
        for op, inputs, made in moved:
            codes = op.run((codes,), inputs, made)
        return codes

    return Step(last.name, (node, real, *moves, last), node.inputs, run)
