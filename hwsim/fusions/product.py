"""A product of integers alone: its constant operand is packed once."""

from hwsim.fusions._products import Product
from hwsim.graph import Node, is_product
from hwsim.plan import Step, View


def product(view: View, node: Node) -> Step | None:
    """One step for linear, conv2d or matmul on integers."""
    if not is_product(view.graph, node):
        return None
    made = Product(view, node)
    return Step(node.name, (node,), node.inputs, lambda values: made.finished(values, None))
