"""Shape rules of the two-operand float islands add and mul."""

import numpy as np

from hwsim.op import Specs, need, need_float
from hwsim.spec import TensorSpec


def broadcast_spec(inputs: Specs, what: str) -> TensorSpec:
    """The broadcast float spec; a constant's leading axis must not stand against the batch."""
    need_float(inputs, what)
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
