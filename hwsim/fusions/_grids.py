"""Grids as the passes over floats take them."""

from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.graph import Node
from hwsim.op import need
from hwsim.ops.dequantize import Dequantize
from hwsim.ops.quantize import Quantize
from hwsim.plan import View
from hwsim.spec import QuantSpec

Grids = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], int, int]
"""Scales, zero points, qmin, qmax."""


def grids_of(node: Node | None, axes: tuple[int | None, ...]) -> Grids | None:
    """The affine grids of a quantize whose channels lie along one of `axes`; None: it is none."""
    if node is None or not isinstance(node.op, Quantize) or not isinstance(node.op.spec, QuantSpec):
        return None
    spec = node.op.spec
    if spec.axis not in axes:
        return None
    return np.array(spec.scale), np.array(spec.zero_point, np.int64), spec.qmin, spec.qmax


def container_of(view: View, node: Node) -> np.dtype[Any]:
    """The container of the codes that `node` makes."""
    quant = view.graph.specs[node.name].quant
    assert quant is not None
    return quant.container


def dequantized(view: View, node: Node) -> Node | None:
    """The dequantize that alone reads the sums of `node`."""
    following = view.only_reader(node.name)
    return following if following is not None and isinstance(following.op, Dequantize) else None


def need_finite(finite: bool, name: str) -> None:
    """Raise IllegalModel in the words of quantize, for the node `name`."""
    need(finite, f"{name}: codes are made of finite numbers", "NaN or infinity", "check the input")
