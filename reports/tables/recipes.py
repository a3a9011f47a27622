"""What each recipe of the integer form costs: accuracy, predictions, divergence from fake quant."""

from collections.abc import Sequence

from hwsim.record import Record
from reports.rows import label, nats
from reports.studies import Point, points
from reports.table import Table


def recipes(records: Sequence[Record]) -> Table | None:
    """One row per workload and recipe; None where no recipe was judged."""
    found = points(records, "recipes")
    if not found:
        return None
    return Table(
        "The integer form, by recipe",
        ("Workload", "Recipe", "Fake quant", "Integers", "Points lost", "Predictions that agree", "KL divergence"),
        tuple(_row(point, records) for point in found),
        "Accuracy on the test images; no float is left in the integers. Fake quant: the model in float64, whose codes the"
        " mixed form makes. KL divergence from it to the integers, natural logarithm, mean over the images. Points"
        " below 0 are gained, by chance.",
        place=50,
    )


def _row(point: Point, records: Sequence[Record]) -> tuple[str, ...]:
    before = point.accuracy + point.accuracy_drop / 100
    return (
        label(point.workload, records),
        point.tags.get("recipe", ""),
        f"{100 * before:.2f} %",
        f"{100 * point.accuracy:.2f} %",
        f"{point.accuracy_drop:.2f}".replace("-0.00", "0.00"),
        f"{100 * point.agreement:.2f} %",
        nats(point.kl_divergence),
    )
