"""An integer softmax and the requantization of its probabilities, row by row."""

from hwsim.graph import Node
from hwsim.op import Array
from hwsim.ops._tablerows import softmax_requantize as in_rows
from hwsim.ops.ibertsoftmax import IBertSoftmax
from hwsim.ops.requantize import Requantize
from hwsim.ops.shiftmax import Shiftmax
from hwsim.ops.tablesoftmax import TableSoftmax
from hwsim.plan import Step, View


def softmax_requantize(view: View, node: Node) -> Step | None:
    """One step for both; where their constants do not suit the row kernel, one after the other."""
    following = view.only_reader(node.name)
    if not isinstance(node.op, TableSoftmax | Shiftmax | IBertSoftmax) or following is None:
        return None
    if not isinstance(following.op, Requantize):
        return None
    softmax, requantize = node.op, following.op
    inputs, between, out = view.graph.inputs_of(node), view.graph.specs[node.name], view.graph.specs[following.name]

    def run(values: tuple[Array, ...]) -> Array:
        codes = in_rows(softmax, requantize, values[0], inputs[0], between)
        return requantize.run((softmax.run(values, inputs, between),), (between,), out) if codes is None else codes

    return Step(following.name, (node, following), node.inputs, run)
