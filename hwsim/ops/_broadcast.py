"""Shape rules of the two-operand operators add and mul, and the format of a sum of codes (S10)."""

import numpy as np

from hwsim.op import Specs, need, need_float
from hwsim.spec import MAX_BITS, QuantSpec, TensorSpec, signed_bits


def broadcast_spec(inputs: Specs, what: str) -> TensorSpec:
    """The broadcast float spec; a constant's leading axis must not stand against the batch."""
    need_float(inputs, what)
    return _broadcast(inputs)


def sum_spec(inputs: Specs, bits: int) -> TensorSpec:
    """The spec of the sum of codes: one scale for both, no zero points; `bits` wide where not 0, else as wide as needed."""
    out = _broadcast(inputs)
    grids = []
    for spec in inputs:
        quant = spec.quant
        affine = isinstance(quant, QuantSpec) and not any(quant.zero_point)
        need(affine, "a sum of codes takes affine ones with zero_point 0", spec, "requantize it before")
        assert isinstance(quant, QuantSpec)
        grids.append((quant.scale, None if quant.axis is None else quant.axis + len(out.shape) - len(spec.shape)))
    need(
        grids[0] == grids[1], "a sum of codes needs one scale", f"{inputs[0]} and {inputs[1]}", "requantize one before"
    )
    low, high = (sum(getattr(spec.quant, end) for spec in inputs) for end in ("qmin", "qmax"))
    wide = signed_bits(low, high)
    need(
        bool(bits) or wide <= MAX_BITS,
        f"the sum needs {wide} bits",
        MAX_BITS,
        "lower the bits of an operand, or saturate",
    )
    scale, axis = grids[0]
    return TensorSpec(out.shape, QuantSpec(bits or wide, True, scale, (0,) * len(scale), axis), out.batched)


def _broadcast(inputs: Specs) -> TensorSpec:
    a, b = inputs
    try:
        shape = np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        shape = ()
    need(bool(shape), "shapes must broadcast", f"{a} and {b}", "reshape one")
    for this, other in ((a, b), (b, a)):
        if other.batched and not this.batched:
            rank = len(other.shape)
            fits = len(this.shape) < rank or (len(this.shape) == rank and this.shape[0] == 1)
            need(fits, "a constant has no batch: its leading axis must be 1", this, "reshape the other operand")
    aligned = len(a.shape) == len(b.shape) and a.shape[0] == b.shape[0]
    need(not (a.batched and b.batched) or aligned, "both have a batch axis", f"{a} and {b}", "reshape one")
    return TensorSpec(shape, None, a.batched or b.batched)
