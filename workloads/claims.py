"""Published figures: what was printed, where, for which model and bits, and by which counting rule, if it says so."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Claim:
    """`value` is the figure as printed. `model` is a paper's label and `wbits`, `abits` are widths; "" and None where the
    source names none. `status`: `printed` in `source` itself, or `secondary`, quoted by others."""

    source: str
    model: str
    wbits: int | None
    abits: int | None
    metric: str
    value: str
    unit: str
    convention: str
    status: str

    def __str__(self) -> str:
        """`Q-ViT abstract: 6.14x, DeiT-S W4A4`, as a table shows it."""
        where = f", {self.model} W{self.wbits}A{self.abits}" if self.model else ""
        return f"{self.source}: {self.value}{self.unit}{where}"


QVIT_SPEEDUP = Claim(
    source="Q-ViT abstract",  # arXiv 2210.06707, which calls the model ViT-S; the released code builds the distilled DeiT
    model="DeiT-S",
    wbits=4,
    abits=4,
    metric="theoretical_speedup",
    value="6.14",
    unit="x",
    convention="not stated",
    status="printed",
)
QVIT_FLOPS = Claim(
    source="secondary reviews of Q-ViT",
    model="",
    wbits=None,
    abits=None,
    metric="flops_reduction",
    value="about 21",
    unit="x",
    convention="not stated",
    status="secondary",
)

CLAIMS = (QVIT_SPEEDUP, QVIT_FLOPS)
