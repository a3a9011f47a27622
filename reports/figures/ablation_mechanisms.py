"""What the ingredients of a method do inside: codes used, distances from the teacher, weights that oscillate."""

from collections.abc import Sequence
from dataclasses import replace

from hwsim.record import Record
from reports.bars import Panel, bars
from reports.plot import Plot
from reports.style import styled
from reports.trainings import groups, seeds


@styled()
def ablation_mechanisms(records: Sequence[Record]) -> Plot | None:
    """Up to four panels of bars, one row per width and method; None where nothing was measured inside."""
    oscillating = groups(records, "oscillating", last="true")
    shares = tuple(replace(group, values=tuple(100 * value for value in group.values)) for group in oscillating)
    panels = [
        Panel("entropy of q and k codes (bit)", groups(records, "code_entropy")),
        Panel("attention maps: KL (nat)", groups(records, "map_distance")),
        Panel("similarities of q and k: DGD", groups(records, "head_distance")),
        Panel("weights that oscillate (%)", shares),
    ]
    panels = [panel for panel in panels if panel.groups]
    if not panels:
        return None
    return Plot(
        "What the ingredients do inside",
        "Entropy of the codes of q and k, per head (IRM is made to raise it; the most is the width in bit). Attention maps:"
        " KL divergence of the rows of softmax from the float teacher's, mean over rows, heads, layers and test images."
        " DGD: distance between normalised token similarities of student and teacher, which that term makes small, per"
        " layer, sum over heads. Oscillating: weights whose code goes back and forth at the end of training. Bars are"
        f" means over {seeds(panels[0].groups)}, lines the standard deviation, dots the single runs.",
        bars(panels),
        place=71,
    )
