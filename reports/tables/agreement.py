"""Integers against fake quant on real images: accuracy, predictions, and codes that differ."""

from collections.abc import Sequence

from hwsim.record import Record
from reports.rows import number, select, workloads
from reports.table import Table

_SHARES = (
    ("accuracy_float_teacher", "Accuracy, float teacher"),
    ("accuracy_fake_quant", "Accuracy, fake quant in float64"),
    ("accuracy_fake_quant_float32", "Accuracy, fake quant in float32"),
    ("accuracy_integer", "Accuracy, integers"),
    ("prediction_agreement", "Predictions that agree, integers and fake quant"),
)
_MODES = (("node_by_node", "node by node"), ("free_running", "free running"))


def agreement(records: Sequence[Record]) -> Table | None:
    """One column per workload; None where nothing was simulated."""
    names = workloads(select(records, "accuracy_integer", "codes_compared", "prediction_agreement"))
    if not names:
        return None
    lines = [("Images", *(_count(records, name, "images") for name in names))]
    lines += [(words, *(_share(records, name, metric) for name in names)) for metric, words in _SHARES]
    for mode, words in _MODES:
        for dtype in ("float64", "float32"):
            tags = {"mode": mode, "dtype": dtype}
            lines.append((f"Codes that differ, {words}, {dtype}", *(_codes(records, name, tags) for name in names)))
            lines.append(
                (f"First node that differs, {words}, {dtype}", *(_first(records, name, tags) for name in names))
            )
    return Table(
        "Integers against fake quant",
        ("", *names),
        tuple(line for line in lines if any(line[1:])),
        "Node by node: each node is fed the fake-quant model's own codes, so an error cannot travel. Free running: the"
        " integer graph runs from the image to the logits. Equality is promised against the fake-quant model"
        " in float64;"
        " float32 rounds differently now and then and is shown beside it.",
        place=60,
    )


def _one(records: Sequence[Record], workload: str, metric: str, **tags: str) -> Record | None:
    return next((r for r in select(records, metric, node="", **tags) if r.workload == workload), None)


def _count(records: Sequence[Record], workload: str, metric: str) -> str:
    found = _one(records, workload, metric)
    return f"{number(found):,.0f}" if found else ""


def _share(records: Sequence[Record], workload: str, metric: str) -> str:
    found = _one(records, workload, metric)
    return f"{100 * number(found):.2f} %" if found else ""


def _codes(records: Sequence[Record], workload: str, tags: dict[str, str]) -> str:
    differ = _one(records, workload, "codes_mismatched", **tags)
    compared = _one(records, workload, "codes_compared", **tags)
    return f"{number(differ):,.0f} of {number(compared):,.0f}" if differ and compared else ""


def _first(records: Sequence[Record], workload: str, tags: dict[str, str]) -> str:
    found = _one(records, workload, "first_diverging_node", **tags)
    return (str(found.value) or "none") if found else ""
