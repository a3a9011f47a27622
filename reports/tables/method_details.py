"""Post-training methods side by side, further: agreement, codes compared with the simulator's, memory, what scales take."""

from collections.abc import Sequence

from hwsim.record import Record
from reports.prefixes import engineering
from reports.rivals import FLOAT, Key, found, told
from reports.rows import bits_label, label, number, select
from reports.table import Table, filled
from reports.trainings import Group, groups

MODES = ("node_by_node", "free_running")
_COLUMNS = (
    *(
        "Model",
        "Bits",
        "Method",
        "Seeds",
        "Agreement (%)",
        "Codes compared",
        "differ, node by node",
        "differ, free running",
    ),
    *("Scales and zero points", "Memory before (MB)", "Peak (MB)"),
)


def method_details(records: Sequence[Record]) -> Table | None:
    """One row per width and method; None where no methods were compared."""
    agreement = {key: group for key, group in found(records, "method_agreement").items() if key[1] != FLOAT}
    if not agreement:
        return None
    codes = found(records, "method_codes", mode=MODES[1])
    differ = [found(records, "method_mismatches", mode=mode) for mode in MODES]
    extras, peak = found(records, "method_size", "extras"), found(records, "method_peak")
    before = _before(records)

    def row(key: Key) -> tuple[str, ...]:
        model, width, method = key
        size = extras.get(key)
        return (
            label(model, ()),
            bits_label(width),
            method,
            str(len(agreement[key].values)),
            told(agreement[key], 2, 100),
            *(_sum(of.get(key)) for of in (codes, *differ)),
            engineering(size.mean, "B") if size else "",
            *(told(of.get(key), 0, 1e-6) for of in (before, peak)),
        )

    several = len({key[0] for key in agreement}) > 1
    note = (
        "Agreement: predictions of fake quant that are the float model's. Codes: of all quantizers of activations on the"
        " test images, all seeds together, integers beside fake quant in float64. Memory: most bytes resident in the process"
        " while it calibrated, and when it began, Python, torch and the test images' logits included."
    )
    return filled(
        "Post-training methods, further", _COLUMNS, [row(key) for key in agreement], lambda _: note, 77, several
    )


def _sum(group: Group | None) -> str:
    return f"{sum(group.values):,.0f}" if group else ""


def _before(records: Sequence[Record]) -> dict[Key, Group]:
    """What was resident when the calibrations began."""
    rows = [
        Record(r.workload, "before", number(r) if not r.tag("before") else float(r.tag("before")), "byte", tags=r.tags)
        for r in select(records, "method_peak")
    ]
    return {group.key: group for group in groups(rows, "before")}
