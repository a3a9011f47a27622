"""An integer LayerNorm and the requantization of its codes, row by row."""

from hwsim.graph import Node
from hwsim.op import Array
from hwsim.ops._normrows import norm_requantize as in_rows
from hwsim.ops.ilayernorm import ILayerNorm
from hwsim.ops.requantize import Requantize
from hwsim.plan import Step, View


def norm_requantize(view: View, node: Node) -> Step | None:
    """One step for both; where their constants do not suit the row kernel, one after the other."""
    following = view.only_reader(node.name)
    if not isinstance(node.op, ILayerNorm) or following is None or not isinstance(following.op, Requantize):
        return None
    norm, requantize = node.op, following.op
    inputs, between, out = view.graph.inputs_of(node), view.graph.specs[node.name], view.graph.specs[following.name]

    def run(values: tuple[Array, ...]) -> Array:
        codes = in_rows(norm, requantize, values[0], inputs[0], between)
        return requantize.run((norm.run(values, inputs, between),), (between,), out) if codes is None else codes

    return Step(following.name, (node, following), node.inputs, run)
