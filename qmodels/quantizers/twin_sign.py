"""Twin uniform for what GELU makes: fine steps below 0, coarse ones above, of ratio 2^m (PTQ4ViT, arXiv 2111.12293).

The grid is `hwsim.grids.twinuniform`, split by sign: the code is a number in two's complement, whose sign says which range;
a product shifts by m where it is not negative. Codes are given as their bits, 0..2^b - 1. Departs from the released code in
that the ratio is a power of two, as in the paper, and -5 and +5 have codes of their own (its export gives both one byte); in
that both ranges are searched by squared error, where there the negative one is fixed at -0.17.
"""

from qmodels.quantizers.twin_uniform import TwinUniform


class TwinSign(TwinUniform):
    """Grid of two uniform ranges on both sides of 0."""

    kind = "twin_sign"
    split = "sign"
