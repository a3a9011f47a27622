"""Which quantizer papers put before which, and whether its error on real values of the model is the smaller one here."""

import statistics
from collections.abc import Mapping, Sequence

from hwsim.record import Record
from reports.reconstruction import by_name, errors, place, widths
from reports.rows import label
from reports.table import Table, filled

_ORDERINGS = (  # source, place, the better quantizer, the worse one, at so many bits
    ("FQ-ViT", "softmax", "log2", "uniform", "4"),
    ("RepQ-ViT", "softmax", "log-sqrt2", "log2", "4"),
    ("I&S-ViT", "softmax", "SULQ", "log2", "3"),
    ("I&S-ViT", "softmax", "SULQ", "uniform", "3"),
    ("PTQ4ViT", "softmax", "twin uniform", "uniform", "6, 8"),
    ("PTQ4ViT", "gelu", "twin uniform", "uniform symmetric", "6, 8"),
    ("RepQ-ViT", "layernorm", "uniform per channel", "uniform", "4, 6"),
    ("FQ-ViT", "norm_inputs", "power-of-two factors", "uniform", "8"),
    ("Bondarenko et al.", "layernorm", "uniform, 6 groups", "uniform", "8"),
)
_SOURCES = (
    "FQ-ViT: arXiv 2111.13824. RepQ-ViT: 2212.08254. I&S-ViT: 2311.10126. PTQ4ViT: 2111.12293. Bondarenko et al.:"
    " 2109.12948."
)


def quantizer_orderings(records: Sequence[Record]) -> Table | None:
    """One row per ordering of which both sides were measured; None where none was."""
    found = errors(records)
    named, at = by_name(found), widths(found)
    rows = []
    for model in dict.fromkeys(of.model for of in found):
        for source, where, better, worse, said in _ORDERINGS:
            pair = named.get((model, where, better)), named.get((model, where, worse))
            if pair[0] and pair[1]:
                cells = (_told(pair[0].by_bits.get(b, {}), pair[1].by_bits.get(b, {})) for b in at)
                rows.append((label(model, ()), source, place(where), better, worse, said, *cells))
    if not rows:
        return None
    columns = ("Model", "Source", "Values", "Smaller error", "than", "said at", *(f"{bits} bits" for bits in at))
    note = (
        f"{_SOURCES} Ratio of the errors, geometric mean over the modules, and in how many of them it is below 1, that is,"
        " where the ordering holds. Papers mostly claim accuracy, at the bits in `said at`; the squared error is one cause of"
        " it among others."
    )
    several = len({row[0] for row in rows}) > 1
    return filled("Orderings of quantizers, checked", columns, rows, lambda _: note, 80, several)


def _told(better: Mapping[str, float], worse: Mapping[str, float]) -> str:
    """`0.53 (4/4)`, "" where they have no module in common whose errors can be compared."""
    ratios = [better[path] / worse[path] for path in better if worse.get(path, 0) > 0 and better[path] > 0]
    if not ratios:
        return ""
    return f"{statistics.geometric_mean(ratios):.2f} ({sum(ratio < 1 for ratio in ratios)}/{len(ratios)})"
