"""The audit of Q-ViT's efficiency claims (arXiv 2210.06707): the documented rule and the inferred readings, side by side.

Documented: `bireal_ladder` on Swin's counting, un-rounded, on the model that the abstract names. Inferred: `qvit_table`,
R1a and R1b, on the distilled model that the released code builds (Swin has none, its own serves). The claim of about 21x
names neither model nor bits; it is set beside the two points where a reading comes near it, with all their readings.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hwsim.cost.convention import Convention
from hwsim.cost.conventions.bireal_ladder import BirealLadder
from hwsim.cost.conventions.qvit_table import QvitTable
from hwsim.cost.elementwise import NONE
from hwsim.cost.rounding import EXACT
from hwsim.cost.search.rules import NAMED
from hwsim.cost.table import entries
from hwsim.cost.work import Rows, with_bits
from hwsim.errors import HwsimError
from hwsim.record import Record
from workloads import QVIT_MODELS
from workloads.claims import Claim, shipped

DEIT_S, DEIT_B = "deit_small_patch16_224", "deit_base_patch16_224"
MODELS = QVIT_MODELS
BITS = (4, 3, 2)
SOURCE = "Q-ViT (arXiv 2210.06707)"
"""How the sources of the paper's claims begin in `workloads/claims.csv`."""

_CLAIMED = {  # the metric that is claimed at a model and its bits
    (DEIT_S, 4): "theoretical_speedup",
    (DEIT_S, 2): "flops_reduction",
    (DEIT_B, 2): "flops_reduction",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """A convention with the words a table has for it, and whether it is applied to the distilled model."""

    text: str
    convention: Convention
    source: str = "inferred"
    distilled: bool = True
    decimals: int = 1


READINGS = (
    Reading("bireal_ladder, un-rounded", BirealLadder(), "documented rule", distilled=False, decimals=4),
    Reading("qvit_table R1b, 1 decimal", NAMED["R1b"]),
    Reading("qvit_table R1a, 1 decimal", NAMED["R1a"]),
)
_UNROUNDED = Reading(
    "MACs alone, un-rounded",
    QvitTable(elementwise=NONE, rounding=EXACT),
    distilled=False,
    decimals=4,
)
_EXTRA = {(DEIT_S, 2): (_UNROUNDED,)}


def audit_qvit(rows_by_model: Mapping[str, Rows]) -> tuple[Record, ...]:
    """One record per model, bits and reading; `rows_by_model` has quantized rows of `needed()`, at whatever bits."""
    for name in needed():
        if name not in rows_by_model:
            raise HwsimError(
                f"audit: rows of {name} are needed, got {', '.join(rows_by_model) or 'none'}; trace it too"
            )
    return tuple(
        _record(name, bits, reading, rows_by_model[distilled(name) if reading.distilled else name])
        for name in MODELS
        for bits in BITS
        for reading in (*READINGS, *_EXTRA.get((name, bits), ()))
    )


def needed() -> tuple[str, ...]:
    """The models whose rows the audit reads: those of the paper and the distilled forms of its DeiTs."""
    return tuple(dict.fromkeys((*MODELS, *(distilled(name) for name in MODELS))))


def claimed(model: str, bits: int) -> str:
    """The figure that the paper prints, or others quote, for `model` at these bits; "" where there is none."""
    claim = _claim(_CLAIMED.get((model, bits), ""))
    return claim.value.split()[-1] if claim else ""


def distilled(name: str) -> str:
    """The distilled form of a DeiT; other models have none and serve themselves."""
    return name.replace("_patch", "_distilled_patch") if name.startswith("deit_") else name


def _record(name: str, bits: int, reading: Reading, rows: Rows) -> Record:
    floats, quantized = entries(with_bits(rows, bits, bits), reading.convention)
    ratio = floats / quantized
    claim = _claim(_CLAIMED.get((name, bits), ""))
    figure = claimed(name, bits)
    tags = {
        "claim": str(claim or ""),
        "printed": claim.value if claim else "",
        "printed_status": claim.status if claim else "",
        "wbits": str(bits),
        "abits": str(bits),
        "convention": reading.text,
        "full_precision": f"{floats / 1e9:.{reading.decimals}f}",
        "quantized": f"{quantized / 1e9:.{reading.decimals}f}",
        "relative_error": f"{100 * (ratio / float(figure) - 1):+.2f} %" if figure else "",
    }
    metric = claim.metric if claim else "theoretical_speedup"
    return Record(name, metric, ratio, "x", source=reading.source, tags=tuple(tags.items()))


def _claim(metric: str) -> Claim | None:
    """The paper's claim of this metric."""
    return next((claim for claim in shipped() if claim.metric == metric and claim.source.startswith(SOURCE)), None)
