"""Post-training methods side by side: accuracy in fake quant and in integers, time, size, operations, extra units."""

from collections.abc import Mapping, Sequence

from hwsim.record import Record
from reports.prefixes import engineering
from reports.rivals import FLOAT, Key, found, small, told, undefined, units
from reports.rows import bits_label, label, select
from reports.table import Table, filled
from reports.trainings import Group, seeds

_COLUMNS = ("Model", "Bits", "Method", "Fake quant (%)", "Integers (%)", "KL to float (nat)")
_COSTS = ("Time (s)", "Size", "Operations", "Extra units")


def method_comparison(records: Sequence[Record]) -> Table | None:
    """One row per width and method, float first; None where no methods were compared."""
    accuracy = found(records, "method_accuracy", split="test")
    if not accuracy:
        return None
    integers = found(records, "method_accuracy", split="integer")
    others = {
        m: found(records, f"method_{m}") for m in ("kl_divergence", "seconds", "size", "operations", "shifts_only")
    }
    needed, without = units(records), undefined(records)

    def costs(key: Key) -> tuple[str, ...]:
        size, operations = (others[name].get(key) for name in ("size", "operations"))
        names = [unit.name for unit in needed.get(key, ())]
        shifts = others["shifts_only"].get(key)
        said = ", ".join(names) or "none"
        said += "; requantizes by shifts" if shifts and shifts.mean == 1 else ""
        return (
            told(others["seconds"].get(key), 1),
            engineering(size.mean, "B") if size else "",
            engineering(operations.mean, "BOP") if operations else "",
            "" if key[1] == FLOAT else said,
        )

    def row(key: Key) -> tuple[str, ...]:
        model, width, method = key
        head = (label(model, ()), bits_label(width), method)
        if key not in accuracy:
            return (*head, *[""] * 6, "not defined")
        exact = (told(accuracy[key], 2, 100), told(integers.get(key), 2, 100), small(others["kl_divergence"].get(key)))
        return (*head, *exact, *costs(key))

    keys = sorted([*accuracy, *(key for key in without if key not in accuracy)], key=_order)
    several = len({key[0] for key in keys}) > 1
    note = _note(records, [group for key, group in accuracy.items() if key[1] != FLOAT], without)
    return filled(
        "Post-training methods", (*_COLUMNS, *_COSTS), [row(key) for key in keys], lambda _: note, 76, several
    )


def _note(records: Sequence[Record], compared: Sequence[Group], without: Mapping[Key, str]) -> str:
    """What the columns mean, by which rule, and what is missing."""
    rules = ", ".join(
        dict.fromkeys(r.tag("convention") for r in select(records, "method_operations") if r.tag("convention"))
    )
    one = all(len(group.values) == 1 for group in compared)
    of = "One seed, with" if one else f"Means over {seeds(compared)} ± standard deviation, each seed with"
    return (
        f"{of} calibration images of its own, the same for all methods. Fake"
        f" quant{_on(records, 'test')}; integers: the integer simulator{_on(records, 'integer')}. Time: of the calibration,"
        " on whatever else the machine did. Size: codes packed, floats at 32 bits, scales and zero points. Operations: by"
        f" {rules}; a multiplication by a shift counts as one of its code's width."
        f"{_changes(records)}{''.join(f' Not defined: {why}.' for why in dict.fromkeys(without.values()))}"
    )


def _changes(records: Sequence[Record]) -> str:
    """Which methods were changed, and how."""
    made = {(r.tag("label"), r.tag("changes")) for r in select(records, "method_accuracy") if r.tag("changes")}
    return "".join(f" {name}: with {changes}." for name, changes in sorted(made))


def _on(records: Sequence[Record], split: str) -> str:
    """` on 360 images`, where it is said."""
    counts = {r.tag("images") for r in select(records, "method_accuracy", split=split)} - {""}
    return f" on {' or '.join(sorted(counts))} images" if counts else ""


def _order(key: Key) -> tuple[object, ...]:
    """Float first, then from wide to narrow; methods stay in their order."""
    return key[0], key[1] != FLOAT, [-width for width in key[1]]
