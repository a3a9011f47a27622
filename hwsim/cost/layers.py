"""Rows of work of a network that is given as a table of layers (`workloads.topologies`), by real operators, without torch.

Each layer is one product of a graph, with an input of its own: what lies between layers multiplies nothing, and is not
in the table. Biases are not counted; `parameters` is therefore 0 in every row.
"""

import dataclasses

import numpy as np

from hwsim.cost.work import Work, work
from hwsim.graph import Node, build
from hwsim.op import Op
from hwsim.ops.conv2d import Conv2d
from hwsim.ops.linear import Linear
from hwsim.spec import FLOAT_BITS, BipolarSpec, IntegerSpec, QuantSpec, TensorSpec
from workloads.topologies import Layer, Topology


def rows_of(topology: Topology, weights: int, activations: int, ends_bits: int = 8) -> tuple[Work, ...]:
    """The rows of `topology` with its layers at these widths, the first and the last at `ends_bits`, or at their own widths.

    At 32 bits on both sides everything is float, as in `with_bits`; widths that a layer has of its own stay.
    """
    if weights == activations == FLOAT_BITS:
        ends_bits = FLOAT_BITS
    inputs, constants, nodes = {}, {}, []
    for layer in topology.layers:
        w_bits, a_bits = layer.bits or ((ends_bits, ends_bits) if layer.end else (weights, activations))
        image, kernel = _shapes(layer)
        grid = _grid(w_bits)
        dtype = np.float32 if grid is None else np.int8
        one = np.broadcast_to(np.ones((), dtype), kernel).view()
        inputs[f"{layer.name}.input"] = TensorSpec(image, _grid(a_bits))
        constants[f"{layer.name}.weight"] = one, TensorSpec(kernel, grid, batched=False)
        nodes.append(Node(layer.name, _op(layer), (f"{layer.name}.input", f"{layer.name}.weight")))
    graph = build(topology.name, inputs, constants, nodes, [layer.name for layer in topology.layers])
    ends = {layer.name: layer.end for layer in topology.layers if layer.end}
    return tuple(dataclasses.replace(row, group=ends.get(row.node, row.group)) for row in work(graph))


def _shapes(layer: Layer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shapes of a layer's input and weight."""
    if layer.size is None:
        return (1, layer.channels), (layer.features, layer.channels)
    return (1, layer.channels, *layer.size), (layer.features, layer.channels // layer.groups, *layer.kernel)


def _op(layer: Layer) -> Op:
    if layer.size is None:
        return Linear()
    return Conv2d((layer.stride, layer.stride), layer.padding, layer.groups)


def _grid(bits: int) -> IntegerSpec | None:
    """A grid of this width; what it means in reals is of no matter for counts."""
    if bits == FLOAT_BITS:
        return None
    return BipolarSpec((1.0,)) if bits == 1 else QuantSpec(bits, True, (1.0,))
