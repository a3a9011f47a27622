"""bivit_table: bireal_ladder as the tables of Bi-ViT (arXiv 2305.12354) may have it, entries of two decimals in G.

Total = MACs, binary ones at 1/64, without the patch embedding, heads and attention products binary too, + 1 per element of
LayerNorm, softmax, GELU and residual. Source: none printed that we have; the abstract's 61.5x (DeiT-T) and 56.1x (Swin-T) are
1.23/0.02 and 4.49/0.08, if its entries have two decimals, and this rule gives all four: 1.2298 / 0.0242 and 4.4906 / 0.0844.
Status: inferred. Un-rounded they would be 50.8x and 53.2x. Leaving the patch embedding out is what makes 1.23 of DeiT-T's
1.25; with heads as floats Swin-T would print 0.09.
"""

from dataclasses import dataclass

from hwsim.cost.conventions.bireal_ladder import BirealLadder
from hwsim.cost.elementwise import ONE_EACH, Elementwise
from hwsim.cost.rounding import Rounding

_ENTRIES = Rounding("round", 2, "G")


@dataclass(frozen=True, slots=True, kw_only=True)
class BivitTable(BirealLadder):
    """The ladder without the patch embedding, the heads binary, ratios of rounded entries."""

    omit: tuple[str, ...] = ("patch_embed",)
    ends_bits: int | None = 1
    elementwise: Elementwise = ONE_EACH
    rounding: Rounding = _ENTRIES

    status = "inferred"
