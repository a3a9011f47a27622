"""A LayerNorm behind a quantizer reads its codes as they are, where its operator takes their scales."""

import numpy as np
import pytest
from lowered import linear_graph, lowered, reals

from hwsim.graph import Node
from hwsim.ops.add import Add
from hwsim.ops.dequantize import Dequantize
from hwsim.ops.layernorm import LayerNorm
from hwsim.ops.linear import Linear
from hwsim.ops.quantize import Quantize
from hwsim.spec import QuantSpec


@pytest.mark.parametrize(
    ("scales", "name", "direct"),
    [
        ((0.05,), "lut", True),  # one scale: every norm reads its codes
        ((0.05,), "fqvit", True),
        ((0.02, 0.04, 0.16, 0.02), "fqvit", True),  # powers of two apart: the norm of FQ-ViT does
        ((0.02, 0.04, 0.16, 0.02), "lut", False),
        ((0.02, 0.05, 0.16, 0.02), "fqvit", False),
    ],
)
def test_a_norm_reads_the_codes_of_a_quantizer_where_it_can(feeds, scales, name, direct):
    """Two products are added up; a quantizer reads the sum, the norm its reals."""
    grid = QuantSpec(8, False, scales, (100,) * len(scales), None if len(scales) == 1 else 2)
    tail = [
        Node("acc2", Linear(), ("x.codes", "w")),
        Node("y2", Dequantize(), ("acc2",)),
        Node("sum", Add(), ("y", "y2")),
        Node("norm.input", Quantize(grid), ("sum",)),
        Node("real", Dequantize(), ("norm.input",)),
        Node("norm", LayerNorm(), ("real", "gain", "shift")),
    ]
    extra = {"gain": [1.0, 0.5, 2.0, 1.0], "shift": [0.0, 0.1, 0.0, -0.2]}
    mixed = linear_graph(*tail, outputs=["norm"], extra=extra)
    graph = lowered(mixed, name, feeds)
    nodes = {node.name: node for node in graph.nodes}
    assert (nodes["norm"].inputs[0] == "norm.input") == direct
    assert ("real.link" in nodes) == (not direct)
    assert graph.specs["norm.input"].quant == grid
    factors = name == "fqvit" and len(scales) > 1  # then the sum has a scale per channel as well
    assert (graph.specs["sum"].quant.axis is not None) == factors
    apart = np.abs(reals(graph, feeds) - reals(mixed, feeds))
    assert apart.mean() < (0.1 if name == "fqvit" else 0.02)
