"""What the model gives for figures that were published of a machine (`[[published]]` in its file), as records.

Each figure makes two: `published`, as it stands in its source, and `predicted`, ours, which share their tags. Nothing is
left out: a figure that our model misses shows by how much.
"""

from collections.abc import Callable, Iterator

import numpy as np

from hwsim.accel.accelerator import Accelerator
from hwsim.accel.compute import Reals
from hwsim.accel.estimate import Estimate, summed
from hwsim.accel.evaluation import evaluate
from hwsim.accel.parts import Published
from hwsim.accel.program import Program
from hwsim.record import Record

ProgramAt = Callable[[str, int, int], Program]
"""The program of a model at bits of weights and activations, the ends at 8."""

OPERATIONS_PER_MAC = 2


def agreement(machine: Accelerator, program_at: ProgramAt) -> Iterator[Record]:
    """The records of all figures of `machine`; raises what `evaluate` raises."""
    estimates: dict[tuple[str, int, int, int], Estimate] = {}
    for index, figure in enumerate(machine.published):
        key = figure.model, figure.wbits, figure.abits, figure.batch
        if figure.metric == "peak":
            ours: Reals | float = peak_tops(machine, figure.wbits, figure.abits)
        else:
            if key not in estimates:
                estimates[key] = evaluate(program_at(*key[:3]), machine, batch=figure.batch)
            ours = predicted(estimates[key], figure)
        tags = tuple(_tags(figure, index).items())
        for metric, value in (("published", figure.value), ("predicted", ours)):
            yield Record(
                figure.model, metric, float(np.asarray(value)), figure.unit, "", machine.name, "computed", tags
            )


def peak_tops(machine: Accelerator, wbits: int, abits: int) -> float:
    """10^12 operations per second at the most, a MAC being two."""
    rate = machine.precision.peak(abits, wbits) * float(machine.pes)
    return OPERATIONS_PER_MAC * rate * machine.clock_mhz / 1e6


def predicted(estimate: Estimate, figure: Published) -> Reals:
    """Ours for a published figure of a model, in its unit (see `parts.Published.metric`)."""
    if figure.metric in ("cycles", "compute_cycles"):
        parts = summed(cost for cost in estimate.costs if not figure.groups or cost.stage.group in figure.groups)
        counted = ("useful", "mapping", "fill") if figure.metric == "compute_cycles" else tuple(parts)
        return np.asarray(sum((parts[part] for part in counted), np.asarray(0.0)))
    whole = {
        "latency": estimate.latency * 1e3,
        "latency_cycles": estimate.latency_cycles,
        "fps": estimate.fps,
    }
    return whole[figure.metric]


def _tags(figure: Published, index: int) -> dict[str, str]:
    groups = f" of {', '.join(figure.groups)}" if figure.groups else ""
    images = f", batch {figure.batch}" if figure.batch > 1 else ""
    tags = {
        "quantity": f"W{figure.wbits}A{figure.abits} {figure.metric.replace('_', ' ')}{groups}{images}",
        "wbits": str(figure.wbits),
        "abits": str(figure.abits),
        "batch": str(figure.batch),
        "unit": figure.unit,
        "status": figure.status,
        "source": figure.source,
        "index": str(index),
    }
    if figure.band is not None:
        tags |= {"band_low": str(figure.band[0]), "band_high": str(figure.band[1])}
    return tags | ({"note": figure.note} if figure.note else {})
