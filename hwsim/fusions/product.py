"""A product of integers alone: its constant operand is packed once."""

from hwsim.fusions._products import Product, is_product
from hwsim.graph import Node
from hwsim.plan import Step, View


def product(view: View, node: Node) -> Step | None:
    """One step for linear, conv2d or matmul on integers."""
    if not is_product(view, node):
        return None
    made = Product(view, node)
    return Step(node.name, (node,), node.inputs, lambda values: made.finished(values, None))
