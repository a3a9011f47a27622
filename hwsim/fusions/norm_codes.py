"""A float LayerNorm and the quantize that takes it, a row at a time; a transpose between them moves codes, not floats."""

import numpy as np

from hwsim.fusions._grids import container_of, grids_of, need_finite
from hwsim.graph import Node
from hwsim.kernels.float_groups import norm_to_codes
from hwsim.kernels.memory import empty
from hwsim.op import Array
from hwsim.ops.layernorm import LayerNorm
from hwsim.ops.transpose import Transpose
from hwsim.plan import Step, View


def norm_codes(view: View, node: Node) -> Step | None:
    """One step from the floats to the codes."""
    if not isinstance(node.op, LayerNorm):
        return None
    specs, last = view.graph.specs, view.only_reader(node.name)
    rank, moved = len(specs[node.name].shape), None
    heads = (None, 1) if rank == 4 else (None,)
    if last is not None and isinstance(last.op, Transpose):
        moved, heads = last, heads if last.op.order[1] == 1 else (None,)
        last = view.only_reader(last.name)
    grids = grids_of(last, heads)
    if last is None or grids is None or rank not in (2, 3, 4):
        return None
    epsilon, container = node.op.epsilon, container_of(view, last)

    def run(values: tuple[Array, ...]) -> Array:
        x, weight, bias = (np.asarray(value, dtype=np.float64) for value in values)
        x = x if x.strides[-1] == x.itemsize else np.ascontiguousarray(x)
        out = empty(x.shape, container)
        four = x.shape if rank == 4 else (1, 1, -1, x.shape[-1])
        need_finite(norm_to_codes(x.reshape(four), weight, bias, epsilon, *grids, out.reshape(four)), last.name)
        return out if moved is None else np.asarray(moved.op.run((out,), (specs[node.name],), specs[moved.name]))

    return Step(last.name, (node, *([moved] if moved else []), last), node.inputs, run)
