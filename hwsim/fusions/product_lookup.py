"""A linear layer, the requantization of its sums, and the table (a GELU) that takes those codes: in blocks of rows whose
codes never leave the cache."""

import numpy as np

from hwsim.fusions._products import Product, Sums, finish_of
from hwsim.graph import Node, is_product
from hwsim.kernels.memory import empty
from hwsim.kernels.team import shared
from hwsim.op import Array
from hwsim.ops._codes import look_up
from hwsim.ops.linear import Linear
from hwsim.ops.lookup import Lookup
from hwsim.ops.requantize import Requantize
from hwsim.plan import Step, View

BLOCK = 3 << 17
"""Most bytes of codes between the requantization and the table."""


def product_lookup(view: View, node: Node) -> Step | None:
    """One step for the three."""
    specs, codes = view.graph.specs, view.only_reader(node.name)
    if not isinstance(node.op, Linear) or not is_product(view.graph, node):
        return None
    if codes is None or not isinstance(codes.op, Requantize):
        return None
    last, finish = view.only_reader(codes.name), finish_of(node, codes.op, specs[node.name], specs[codes.name])
    if finish is None or last is None or not isinstance(last.op, Lookup):
        return None
    product, table = Product(view, node), np.array(last.op.table, dtype=last.op.spec.container)
    least, rows = codes.op.spec.qmin, product.tier.rows
    step = max(1, BLOCK // (rows * specs[codes.name].shape[-1] * finish.container.itemsize)) * rows

    def run(values: tuple[Array, ...]) -> Array:
        def multiply(shape: tuple[int, int, int], codes_of: Sums) -> Array:
            out = empty(shape, table.dtype)

            def part(first: int, past: int) -> None:
                for start in range(first, past, step):
                    stop = min(start + step, past)
                    look_up(codes_of(start, stop), least, table, out[:, start:stop])

            shared(shape[1], rows, part)
            return out

        return product.followed(values, multiply, finish)

    return Step(last.name, (node, codes, last), node.inputs, run)
