"""qvit_table: bireal_ladder as the table of Q-ViT (arXiv 2210.06707) seems to have it, ratios of entries as printed.

entry = total in G, rounded half up to one decimal; speedup = entry at full precision / entry of the quantized model.
Full precision: MACs without attention products. Quantized: `bireal_ladder` with the ends at full precision, and either
  R1b (default): attention products at their own bits, elementwise work at full cost, or
  R1a: attention products at 8 bit, `attention_bits=8`, and no elementwise work, `elementwise=NONE`.
Source: none printed. The paper states no rule and its table could not be obtained; that ratios are of rounded entries is
the same group's habit in Q-DETR (arXiv 2304.00253). Status: inferred. Meant for the distilled DeiT, which the released
code builds.

DeiT-S, distilled: 4.2628 G prints 4.3; R1a 0.6744 G and R1b 0.6609 G both print 0.7 at 4 bits: 4.3/0.7 = 6.142857x,
for the abstract's 6.14x. At 2 bits R1b gives 0.2329 G, 4.3/0.2 = 21.5x; R1a on DeiT-B gives 16.9/0.8 = 21.125x.

R1b's elementwise work is 31.7 MFLOP, by a composition that is inferred too (198 tokens, 384 channels, 12 blocks):
    LayerNorm          25 x 198 x 384     = 1,900,800 elements x 4 =  7,603,200
    norms on q and k   24 x 198 x 384     = 1,824,768          x 4 =  7,299,072
    softmax            12 x 6 x 198 x 198 = 2,822,688          x 4 = 11,290,752
    GELU               12 x 198 x 1536    = 3,649,536          x 1 =  3,649,536
    residual           24 x 198 x 384     = 1,824,768          x 1 =  1,824,768
    bias, first in the accumulator: nothing                 total  = 31,667,328
so that 570,696,192 + 58,570,752 + 31,667,328 = 660,934,272. It is not the only one in range: LayerNorm 5, softmax 3,
GELU 1, residual 1, bias 1 without q and k norms is 31.66 M too. Nor does it matter much: the entries stay 0.7 at 4 bits
for anything from 20.8 to 120.7 M, and 0.2 at 2 bits up to 48.7 M.
"""

from dataclasses import dataclass

from hwsim.cost.conventions.bireal_ladder import BirealLadder
from hwsim.cost.conventions.macs import Macs
from hwsim.cost.elementwise import QVIT, Elementwise
from hwsim.cost.rounding import Rounding
from hwsim.cost.work import Rows, full_precision

_ENTRIES = Rounding("round", 1, "G")


@dataclass(frozen=True, slots=True, kw_only=True)
class QvitTable(BirealLadder):
    """The ladder on the quantized side, to which all options apply; MACs without attention products on the other."""

    elementwise: Elementwise = QVIT
    rounding: Rounding = _ENTRIES

    status = "inferred"

    def amounts(self, rows: Rows) -> tuple[float, ...]:
        """MACs without attention products where all is float, else the ladder."""
        if full_precision(rows):
            floats = Macs(attention_matmuls=False, omit=self.omit).amounts(rows)
            return tuple(self.flops_per_mac * amount for amount in floats)
        return BirealLadder.amounts(self, rows)
