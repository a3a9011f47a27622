"""size_bidet: 32 bits per real-valued parameter, b per quantized weight. Size = (32 real + sum b quantized) / 8 bytes.

Quantized are the constant operands of products, each at its own width (the ends at 8); real are biases, norms, tokens
and positions. Source: Q-DETR (arXiv 2304.00253), after BiDet (arXiv 2003.03961). Status: printed. Scales and zero
points are left out, as there.
"""

from dataclasses import dataclass

from hwsim.cost.sizes import Sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeBidet(Sizes):
    """Each weight at its own width, the rest as floats."""

    status = "printed"
