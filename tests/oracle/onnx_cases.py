"""What the adapters of ONNX's node tests share: a case, and values as operands of ours.

Every tensor becomes a constant (`batched=False`), so that all axes are free. Floats are float64; codes get the grid that
the ONNX operands say. What has no counterpart here raises `Outside`, or IllegalModel from the operator itself.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwsim.op import Array
from hwsim.spec import QuantSpec, TensorSpec

Pair = tuple[Array, TensorSpec]


class Outside(Exception):
    """The case asks for something that hwsim has no operator for."""


@dataclass(frozen=True)
class Case:
    """One node with its attributes, operands and results as ONNX gives them."""

    name: str
    op_type: str
    attributes: dict[str, Any]
    inputs: list[Array]
    outputs: list[Array]
    rtol: float
    atol: float


def apply(op, *operands: Pair) -> Pair:
    """Infer and run."""
    specs = tuple(spec for _, spec in operands)
    out = op.infer(specs)
    return op.run(tuple(value for value, _ in operands), specs, out), out


def real(array: Array) -> Pair:
    """A float constant."""
    array = np.asarray(array, dtype=np.float64)
    return array, TensorSpec(array.shape, None, batched=False)


def grid(dtype, scale=1.0, zero=0, axis=None) -> QuantSpec:
    """The grid of an ONNX integer type; several scales or zero points lie along `axis`."""
    found = re.fullmatch(r"(u?)int(\d+)", dtype.name)
    if not found or int(found[2]) > 32:
        raise Outside(f"{dtype.name} is no integer of at most 32 bits")
    scale, zero = np.atleast_1d(scale).ravel(), np.atleast_1d(zero).ravel()
    count = max(scale.size, zero.size)
    scales, zeros = (np.broadcast_to(values, count).tolist() for values in (scale.astype(np.float64), zero.astype(int)))
    return QuantSpec(int(found[2]), not found[1], tuple(scales), tuple(zeros), axis if count > 1 else None)


def codes(array: Array, scale=1.0, zero=0, axis=None) -> Pair:
    """A constant of integer codes."""
    quant = grid(array.dtype, scale, zero, axis)
    return array.astype(quant.container), TensorSpec(array.shape, quant, batched=False)


def any_format(array: Array) -> Pair:
    """A float, or codes that stand for themselves."""
    return real(array) if array.dtype.kind == "f" else codes(array)
