"""Integers against fake quant on real images: accuracy, predictions, and codes that differ."""

from collections.abc import Sequence

from hwsim.record import Record
from reports.rows import nats, number, select, trials
from reports.table import Table

_SHARES = (
    ("accuracy_float_teacher", "Accuracy, float teacher"),
    ("accuracy_fake_quant", "Accuracy, fake quant in float64"),
    ("accuracy_fake_quant_float32", "Accuracy, fake quant in float32"),
    ("accuracy_mixed", "Accuracy, mixed form"),
    ("accuracy_exact", "Accuracy, integers, without the what-if"),
    ("accuracy_integer", "Accuracy, integers"),
    ("prediction_agreement", "Predictions that agree, integers and fake quant"),
)
_CODES = ("codes_mismatched", "codes_compared")
_NOTES = (
    ("node by node", "Node by node: each node is fed the fake-quant model's own codes, so an error cannot travel."),
    ("free running", "Free running: the integer graph runs from the image to the logits."),
    ("Codes that differ", "Equality is promised for the mixed form, against the fake-quant model in float64."),
    ("float32", "float32 rounds differently now and then and is shown beside it."),
)
_MODES = (("node_by_node", "node by node"), ("free_running", "free running"))


def agreement(records: Sequence[Record]) -> Table | None:
    """One column per comparison; None where nothing was simulated."""
    simulated = trials(select(records, "accuracy_integer", "codes_compared", "prediction_agreement"))
    if not simulated:
        return None
    columns = [rows for name, rows in trials(records).items() if name in simulated]
    lines = [("Images", *map(_images, columns))]
    lines += [(words, *(_share(rows, metric) for rows in columns)) for metric, words in _SHARES]
    lines.append(("KL divergence from fake quant", *map(_divergence, columns)))
    compared = ("quantizers_compared", "quantizers")
    lines.append(("Quantizers whose codes are compared", *(_part(rows, *compared) for rows in columns)))
    for mode, words in _MODES:
        for dtype in ("float64", "float32"):
            tags = {"mode": mode, "dtype": dtype}
            differ = (_part(rows, *_CODES, **tags) for rows in columns)
            lines.append((f"Codes that differ, {words}, {dtype}", *differ))
            lines.append((f"First node that differs, {words}, {dtype}", *(_first(rows, **tags) for rows in columns)))
    shown = tuple(line for line in lines if any(line[1:]))
    return Table(
        "Integers against fake quant", ("", *simulated), shown, _note(" ".join(line[0] for line in shown)), place=60
    )


def _note(shown: str) -> str:
    """How to read the rows whose heads are `shown`."""
    return " ".join(words for part, words in _NOTES if part in shown)


def _one(records: Sequence[Record], metric: str, **tags: str) -> Record | None:
    return next(iter(select(records, metric, node="", **tags)), None)


def _images(records: Sequence[Record]) -> str:
    found = _one(records, "images")
    return f"{number(found):,.0f}" if found else ""


def _divergence(records: Sequence[Record]) -> str:
    found = _one(records, "kl_divergence")
    return nats(number(found)) if found else ""


def _share(records: Sequence[Record], metric: str) -> str:
    found = _one(records, metric)
    return f"{100 * number(found):.2f} %" if found else ""


def _part(records: Sequence[Record], part: str, whole: str, **tags: str) -> str:
    some, of = _one(records, part, **tags), _one(records, whole, **tags)
    return f"{number(some):,.0f} of {number(of):,.0f}" if some and of and number(of) else ""


def _first(records: Sequence[Record], **tags: str) -> str:
    found = _one(records, "first_diverging_node", **tags)
    return (str(found.value) or "none") if found and _part(records, *_CODES, **tags) else ""
