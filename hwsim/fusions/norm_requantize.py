"""An integer LayerNorm and the requantization of its codes, row by row; a transpose between them moves the latter's codes."""

from dataclasses import replace

from hwsim.graph import Node
from hwsim.op import Array
from hwsim.ops._normrows import norm_requantize as in_rows
from hwsim.ops.ilayernorm import ILayerNorm
from hwsim.ops.ptflayernorm import PtfLayerNorm
from hwsim.ops.requantize import Requantize
from hwsim.ops.transpose import Transpose
from hwsim.plan import Step, View


def norm_requantize(view: View, node: Node) -> Step | None:
    """One step for both; where their constants do not suit the row kernel, one after the other."""
    if not isinstance(node.op, ILayerNorm | PtfLayerNorm):
        return None
    last, turn = view.only_reader(node.name), None
    moved: tuple[Node, ...] = ()
    if last is not None and isinstance(last.op, Transpose):
        moved, turn, last = (last,), last.op, view.only_reader(last.name)
    if last is None or not isinstance(last.op, Requantize):
        return None
    norm, requantize = node.op, last.op if turn is None else _before(last.op, turn)
    inputs, between, out = view.graph.inputs_of(node), view.graph.specs[node.name], view.graph.specs[last.name]
    lying = requantize.infer((between,))

    def run(values: tuple[Array, ...]) -> Array:
        codes = in_rows(norm, requantize, values[0], inputs[0], between)
        if codes is None:
            codes = requantize.run((norm.run(values, inputs, between),), (between,), lying)
        return codes if turn is None else turn.run((codes,), (lying,), out)

    return Step(last.name, (node, *moved, last), node.inputs, run)


def _before(requantize: Requantize, turn: Transpose) -> Requantize:
    """What `requantize` is of the codes that `turn` has not moved yet."""
    axis, spec = requantize.axis, requantize.spec
    if spec.axis is not None:
        spec = spec.moved_to(turn.order[spec.axis])
    return replace(requantize, spec=spec, axis=None if axis is None else turn.order[axis])
