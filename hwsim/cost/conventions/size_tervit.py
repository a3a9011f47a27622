"""size_tervit: weights inside the network at b bits, everything else at 8. Size = (sum b inner + 8 rest) / 8 bytes.

Inner are the weights of all products but the patch embedding and the heads (patch merging included); a float model is
at 32 bits throughout. Source: fitted to TerViT (arXiv 2201.08050), Swin-S at 2 bits: 13.1 MB. Status: fitted.
"""

from dataclasses import dataclass

from hwsim.cost.sizes import Sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeTervit(Sizes):
    """Ends, biases, norms, tokens and positions at 8 bits."""

    ends_bits: int | None = 8
    rest_bits: int = 8

    status = "fitted"
