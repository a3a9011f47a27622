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
from hwsim.cost.table import entries
from hwsim.cost.work import Rows, with_bits
from hwsim.errors import HwsimError
from hwsim.record import Record
from workloads import QVIT_MODELS
from workloads.claims import QVIT_FLOPS, QVIT_SPEEDUP, Claim

DEIT_S, DEIT_B = "deit_small_patch16_224", "deit_base_patch16_224"
MODELS = QVIT_MODELS
BITS = (4, 3, 2)
_CLAIMED: Mapping[tuple[str, int], Claim] = {
    (DEIT_S, 4): QVIT_SPEEDUP,
    (DEIT_S, 2): QVIT_FLOPS,
    (DEIT_B, 2): QVIT_FLOPS,
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
    Reading("qvit_table R1b, 1 decimal", QvitTable()),
    Reading("qvit_table R1a, 1 decimal", QvitTable(attention_bits=8, elementwise=NONE)),
)
_UNROUNDED = Reading(
    "MACs alone, un-rounded",
    QvitTable(elementwise=NONE, decimals=None),
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


def distilled(name: str) -> str:
    """The distilled form of a DeiT; other models have none and serve themselves."""
    return name.replace("_patch", "_distilled_patch") if name.startswith("deit_") else name


def _record(name: str, bits: int, reading: Reading, rows: Rows) -> Record:
    floats, quantized = entries(with_bits(rows, bits, bits), reading.convention)
    ratio = floats / quantized
    claim = _CLAIMED.get((name, bits))
    figure = claim.value.split()[-1] if claim else ""
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
