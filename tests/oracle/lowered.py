"""Small graphs for tests of lowering: bytes times weights and what follows, lowered, and as reals."""

import numpy as np

from hwsim.graph import Node, build
from hwsim.lower import integerize, recipe
from hwsim.lower.ranges import measure
from hwsim.ops.dequantize import Dequantize
from hwsim.ops.linear import Linear
from hwsim.ops.quantize import Quantize
from hwsim.simulator import as_codes, simulate
from hwsim.spec import QuantSpec, TensorSpec

X = TensorSpec((1, 3, 4))
BYTES = QuantSpec(8, False, (0.02,), (100,))
THIRDS = QuantSpec(8, False, (3 / 255,))
WEIGHT = QuantSpec(8, True, (0.01, 0.02, 0.005, 0.01), (0,) * 4, 0)


def lowered(graph, name, feeds, **changes):
    chosen = recipe.find(name).changed(**changes) if isinstance(name, str) else name
    return integerize(graph, chosen, measure(graph, feeds))


def reals(graph, feeds, name=None):
    name = name or graph.outputs[0]
    value = simulate(graph, as_codes(graph, feeds), [name])[name]
    quant = graph.specs[name].quant
    return value if quant is None else quant.to_real(value)


def linear_graph(*tail, outputs, extra=None, seed=0):
    """Bytes times weights, dequantized to `y`, and what follows."""
    generator = np.random.default_rng(seed)
    weight = generator.integers(-128, 128, (4, 4)).astype(np.int8)
    constants = {"w": (weight, TensorSpec((4, 4), WEIGHT, batched=False))}
    for name, array in (extra or {}).items():
        constants[name] = (np.asarray(array, np.float64), TensorSpec(np.shape(array), None, batched=False))
    head = [Node("x.codes", Quantize(BYTES), ("x",)), Node("acc", Linear(), ("x.codes", "w"))]
    nodes = [*head, Node("y", Dequantize(), ("acc",)), *tail]
    return build("g", {"x": X}, constants, nodes, outputs)
