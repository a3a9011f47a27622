"""Stacked bars of MACs by group of layers: absolute, and as a share of each model."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from hwsim.record import Record
from reports.groups import COLOURS, DARK, OTHER, macs_by_group, ordered_groups
from reports.plot import Plot
from reports.prefixes import engineering
from reports.rows import label
from reports.style import ON_DARK, ON_LIGHT, axes_of, styled


@styled()
def macs_per_group(records: Sequence[Record]) -> Plot | None:
    """Two panels, one bar per model in each; None where no group was counted."""
    by_model = {w: groups for w, groups in macs_by_group(records).items() if sum(groups.values())}
    if not by_model:
        return None
    groups = ordered_groups(by_model)
    figure = Figure(figsize=(10.4, 1.7 + 0.42 * len(by_model)))
    absolute, share = axes_of(figure, 1, 2, sharey=True, gridspec_kw={"width_ratios": (0.8, 1)})
    for y, macs in enumerate(by_model.values()):
        total, left = sum(macs.values()), 0.0
        for group in (g for g in groups if macs.get(g)):
            colour, part = COLOURS.get(group, OTHER), macs[group] / total
            absolute.barh(y, macs[group] / 1e9, 0.72, left=left * total / 1e9, color=colour)
            share.barh(y, 100 * part, 0.72, left=100 * left, color=colour)
            if part >= 0.03:
                ink = ON_DARK if group in DARK else ON_LIGHT
                share.text(100 * (left + part / 2), y, f"{100 * part:.0f}", color=ink, ha="center", va="center", size=9)
            left += part
        absolute.annotate(engineering(total), (total / 1e9, y), (4, 0), textcoords="offset points", va="center", size=9)
    absolute.set_yticks(range(len(by_model)), [label(w, records) for w in by_model])
    absolute.invert_yaxis()
    absolute.set_xlim(0, max(sum(g.values()) for g in by_model.values()) / 1e9 * 1.2)
    absolute.set_xlabel("GMAC per image")
    share.set_xlim(0, 100)
    share.set_xlabel("share of the model's MACs (%)")
    for axes in (absolute, share):
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
    handles = [Patch(color=COLOURS.get(g, OTHER), label=g) for g in groups]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return Plot(
        "MACs per group of layers",
        "Left: multiply-accumulates for one image; right: the same bars as shares of each model. Convention macs, both"
        " attention products (qk and av) included. Bit widths play no part here.",
        figure,
        place=32,
    )
