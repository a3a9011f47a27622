"""macs: multiply-accumulates, whatever their widths. Total = sum of batch x M x K x N over all products.

Source: common use; equals PyTorch's FlopCounterMode / 2. Module-hook counters (thop, older fvcore) see no products of
two activations: `attention_matmuls=False`. Status: printed. DeiT-S 4,598,882,304, or 4,241,218,560 without QK^T and AV.
"""

from dataclasses import dataclass

from hwsim.cost.convention import Convention
from hwsim.cost.groups import ATTENTION
from hwsim.cost.work import Rows


@dataclass(frozen=True, slots=True)
class Macs(Convention):
    """One per multiply-accumulate."""

    attention_matmuls: bool = True

    unit = "MAC"
    status = "printed"

    def amounts(self, rows: Rows) -> tuple[float, ...]:
        """MACs, as integers."""
        return tuple(row.macs if self.attention_matmuls or row.group not in ATTENTION else 0 for row in rows)
