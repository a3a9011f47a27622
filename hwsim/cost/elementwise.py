"""How a convention weighs elementwise work: operations per element of each kind, papers differ.

LayerNorm is taken as 1, 4 or 5 operations per element, softmax as 3 to 5, GELU as 1 to 8, and many count none at all.
"""

from dataclasses import dataclass

from hwsim.cost.work import Rows, Work


@dataclass(frozen=True, slots=True)
class Elementwise:
    """Operations per element: `layernorm` of the model's own norms, `qk_norm` of those that Q-ViT adds on q and k.

    `swin_final_norm` counts the last norm of a model with patch merging as Swin's released `flops()` does: features x
    H0 W0 / 2**stages with the patch grid H0 x W0, four times what there is after three mergings of 2 x 2.
    """

    layernorm: float = 0
    qk_norm: float = 0
    softmax: float = 0
    gelu: float = 0
    residual: float = 0
    bias: float = 0
    swin_final_norm: bool = False

    def amounts(self, rows: Rows) -> tuple[float, ...]:
        """Operations of each row; 0 for products, whatever else they do."""
        weights: dict[str, float] = {
            name: getattr(self, name) for name in ("layernorm", "qk_norm", "softmax", "gelu", "residual", "bias")
        }
        stages = 1 + sum(row.group == "downsample" for row in rows)
        grid = next((row.gemm.m for row in rows if row.group == "patch_embed" and row.gemm is not None), 0)
        quirk = self.swin_final_norm and stages > 1

        def amount(row: Work) -> float:
            if quirk and row.role == "layernorm" and row.node == "norm":
                return self.layernorm * (row.shape[-1] * grid >> stages)
            return weights.get(row.role, 0) * row.elements

        return tuple(amount(row) for row in rows)


NONE = Elementwise()
"""Elementwise work is free."""

LAYERNORM = Elementwise(layernorm=1)
"""1 per element of the model's own LayerNorms, at their true sizes."""

SWIN = Elementwise(layernorm=1, swin_final_norm=True)
"""As in the released Swin code (github.com/microsoft/Swin-Transformer, models/swin_transformer.py, `flops`): 1 per
LayerNorm element, nothing else. The norms on q and k, which neither Swin nor the float model has, are not counted."""

QVIT = Elementwise(layernorm=4, qk_norm=4, softmax=4, gelu=1, residual=1)
"""Inferred, see `conventions/qvit_table.py`."""
