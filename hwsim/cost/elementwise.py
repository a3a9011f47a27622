"""How a convention weighs elementwise work: operations per element of each kind, papers differ.

LayerNorm is taken as 1, 4 or 5 operations per element, softmax as 3 to 5, GELU as 1 to 8, and many count none at all.
"""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

from hwsim.cost.work import Rows, Work
from hwsim.errors import HwsimError

_CONVERSIONS = ("quantize", "dequantize", "requantize")


@dataclass(frozen=True, slots=True)
class Elementwise:
    """Operations per element: `layernorm` of the model's own norms, `qk_norm` of those that Q-ViT adds on q and k.

    `conversion` is for quantize, dequantize and requantize, `roll` for the shift of Swin's windows, `other` for all other
    work that is arithmetic. `swin_final_norm` counts the last norm of a model with patch merging as Swin's released
    `flops()` does: features x H0 W0 / 2**stages with the patch grid H0 x W0, four times what there is after three mergings
    of 2 x 2. Raises HwsimError for weights that are negative or not finite.
    """

    layernorm: float = 0
    qk_norm: float = 0
    softmax: float = 0
    gelu: float = 0
    residual: float = 0
    bias: float = 0
    conversion: float = 0
    roll: float = 0
    other: float = 0
    swin_final_norm: bool = False

    def __post_init__(self) -> None:
        for kind in KINDS:
            weight = getattr(self, kind)
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
                raise HwsimError(
                    f"elementwise.{kind}: a weight must be 0 or a positive number, got {weight!r}; 0 counts none"
                )

    def amounts(self, rows: Rows) -> tuple[float, ...]:
        """Operations of each row; 0 for products, whatever else they do."""
        return tuple(map(self.rule(rows), rows))

    def rule(self, rows: Rows) -> Callable[[Work], float]:
        """The function that gives the operations of one of `rows`; products get 0."""
        weights: dict[str, float] = {kind: getattr(self, kind) for kind in KINDS}
        weights |= dict.fromkeys(_CONVERSIONS, self.conversion) | {"product": 0, "view": 0, "parameters": 0}
        other = weights.pop("other")
        if not any(weights.values()) and not other:
            return _nothing
        final = self._final_norm(rows) if self.swin_final_norm else None

        def amount(row: Work) -> float:
            weight = weights.get(row.role)
            if weight is None:
                weight = other if any(action.kind != "move" for action in row.actions) else 0
            if final is not None and row.role == "layernorm" and row.node == "norm":
                return weight * (row.shape[-1] * final[0] >> final[1])
            return weight * row.elements if weight else 0

        return amount

    def _final_norm(self, rows: Rows) -> tuple[int, int] | None:
        """The patches and the number of stages of a model with patch merging, None of any other."""
        stages = 1 + sum(row.times for row in rows if row.group == "downsample")
        grid = next((row.gemm.m for row in rows if row.group == "patch_embed" and row.gemm is not None), 0)
        return (grid, stages) if stages > 1 else None


KINDS = tuple(field.name for field in dataclasses.fields(Elementwise) if field.name != "swin_final_norm")
"""The kinds of elementwise work that have a weight."""


def _nothing(row: Work) -> float:
    return 0


NONE = Elementwise()
"""Elementwise work is free."""

LAYERNORM = Elementwise(layernorm=1)
"""1 per element of the model's own LayerNorms, at their true sizes."""

ONE_EACH = Elementwise(layernorm=1, softmax=1, gelu=1, residual=1)
"""1 per element of the model's own work that is not a product or a bias."""

SWIN = Elementwise(layernorm=1, swin_final_norm=True)
"""As in the released Swin code (github.com/microsoft/Swin-Transformer, models/swin_transformer.py, `flops`): 1 per
LayerNorm element, nothing else. The norms on q and k, which neither Swin nor the float model has, are not counted."""

QVIT = Elementwise(layernorm=4, qk_norm=4, softmax=4, gelu=1, residual=1)
"""Inferred, see `conventions/qvit_table.py`."""
