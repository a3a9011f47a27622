"""What each ingredient of a method does: accuracy, distance from the teacher, loss and time, mean and spread over seeds."""

from collections.abc import Sequence

from hwsim.record import Record
from reports.rows import bits_label
from reports.table import Table
from reports.trainings import Group, by_key, groups, suites


def ablation(records: Sequence[Record]) -> Table | None:
    """One row per width and method; None where no suite was trained."""
    found = groups(records, "run_accuracy", split="test")
    if not found:
        return None
    others = {m: by_key(groups(records, f"run_{m}")) for m in ("kl_divergence", "agreement", "loss", "seconds")}

    def told(metric: str, group: Group, digits: int, factor: float = 1.0) -> str:
        other = others[metric].get(group.key)
        return other.told(digits, factor) if other else ""

    return Table(
        "What each ingredient does",
        ("Bits", "Method", "Seeds", "Test accuracy (%)", "KL to teacher (nat)", "Agreement (%)", "Loss", "Seconds"),
        tuple(
            (
                bits_label(group.bits),
                group.label,
                str(len(group.values)),
                group.told(2, 100),
                told("kl_divergence", group, 3),
                told("agreement", group, 2, 100),
                told("loss", group, 3),
                told("seconds", group, 0),
            )
            for group in found
        ),
        f"Suite {suites(records)}: mean ± standard deviation over seeds. Agreement: predictions that are the float teacher's."
        " Loss: mean over the last epoch, of terms that differ between methods. Seconds: of training, on whatever else the"
        " machine did.",
        place=70,
    )
