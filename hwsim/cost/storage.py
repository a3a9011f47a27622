"""Storage: the bytes of a model as it is kept, with what published sizes leave out.

    size = sum over kinds of (count x bits) / 8

weights are the constant operands of products, at their own widths; biases, norms and others (tokens, positions) are floats
of 32 bits; then come the extras of quantization (`extras`): scales, zero points, constants of integer operators. Codes are
packed, nothing is padded. Published rules (`conventions/size_*.py`) count no extras: Q-DETR's (arXiv 2304.00253) is 32 bits
per real-valued parameter and b per quantized weight, which is this sum without them. In the integer form gains and offsets
take the place of norms and biases.
"""

from collections import Counter
from dataclasses import dataclass

from hwsim.cost.extras import CONSTANTS, SCALE, ZERO_POINT
from hwsim.cost.work import Rows
from hwsim.spec import FLOAT_BITS

PARAMETERS = ("weights", "biases", "norms", "others")
EXTRAS = (SCALE, ZERO_POINT, *CONSTANTS)
INSTEAD = ("gain", "offset")
"""Extras of the integer form that are stored instead of a float parameter each, of a norm or a bias."""
_KIND = {"bias": "biases", "layernorm": "norms", "qk_norm": "norms"}


@dataclass(frozen=True, slots=True, order=True)
class Stored:
    """`count` numbers of one `kind`, `bits` wide each."""

    kind: str
    bits: int
    count: int

    @property
    def bytes(self) -> float:
        """Their packed size."""
        return self.count * self.bits / 8

    @property
    def extra(self) -> bool:
        """Whether published sizes leave it out."""
        return self.kind in EXTRAS


def storage(rows: Rows) -> tuple[Stored, ...]:
    """What the model of these rows keeps, by kind and width: PARAMETERS first, then EXTRAS, narrow ones first."""
    counts: Counter[tuple[str, int]] = Counter()
    for row in rows:
        if row.gemm is not None and row.weights:
            counts["weights", row.gemm.b_bits] += row.weights
        if row.parameters:
            counts[_KIND.get(row.role, "others"), FLOAT_BITS] += row.parameters
        for extra, count in row.extras.items():
            counts[extra.kind, extra.bits] += count
    others = counts.pop(("others", FLOAT_BITS), 0) - sum(counts[of] for of in counts if of[0] in INSTEAD)
    if others > 0:
        counts["others", FLOAT_BITS] = others
    order = {kind: place for place, kind in enumerate((*PARAMETERS, *EXTRAS))}
    found = (Stored(kind, bits, count) for (kind, bits), count in counts.items())
    return tuple(sorted(found, key=lambda s: (order[s.kind], s.bits)))


def parameter_bytes(rows: Rows) -> float:
    """Weights at their bits, all other parameters at 32; no extras: what published rules call the size."""
    return sum(stored.bytes for stored in storage(rows) if not stored.extra)


def extra_bytes(rows: Rows) -> float:
    """What quantization stores beside them."""
    return sum(stored.bytes for stored in storage(rows) if stored.extra)
