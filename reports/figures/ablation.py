"""What each ingredient of a method does: wrong predictions and distance from the teacher, over seeds."""

from collections.abc import Sequence
from dataclasses import replace

from hwsim.record import Record
from reports.bars import Panel, bars
from reports.plot import Plot
from reports.style import styled
from reports.trainings import Group, groups, seeds, suites


@styled()
def ablation(records: Sequence[Record]) -> Plot | None:
    """Three panels of bars, one row per width and method; None where no suite was trained."""
    found = groups(records, "run_accuracy", split="test")
    if not found:
        return None
    panels = (
        Panel("test images put into a wrong class (%)", _rest(found)),
        Panel("KL divergence from the teacher (nat)", groups(records, "run_kl_divergence")),
        Panel("predictions other than the teacher's (%)", _rest(groups(records, "run_agreement"))),
    )
    return Plot(
        "What each ingredient does",
        f"Suite {suites(records)}: all runs have one budget, one float model to start from and to learn from, and the same"
        f" training images; nothing was chosen on the test images. Bars are means over {seeds(found)}, lines the standard"
        " deviation, dots the single runs. Shorter is better in each panel.",
        bars(panels),
        place=70,
    )


def _rest(found: Sequence[Group]) -> tuple[Group, ...]:
    """What shares leave of 100 %."""
    return tuple(replace(group, values=tuple(100 - 100 * value for value in group.values)) for group in found)
