"""Extra units of post-training methods: what each asks of hardware beside integer products, how often for one image."""

from collections.abc import Sequence

from hwsim.record import Record
from reports.prefixes import engineering
from reports.rivals import found, units
from reports.rows import Bits, bits_label, label
from reports.table import Table, filled


def method_units(records: Sequence[Record]) -> Table | None:
    """One row per method and unit, bits at which it does equally much together; None where no method needs one."""
    needed = units(records)
    if not needed:
        return None
    order = list(found(records, "method_accuracy", split="test"))
    rows: dict[tuple[str, str, str, str, str, str], list[Bits]] = {}
    for key in sorted(needed, key=lambda key: order.index(key) if key in order else len(order)):
        for unit in needed[key]:
            told = (label(key[0], ()), key[2], unit.name, f"{unit.nodes:.3g}", engineering(unit.times), unit.charged)
            rows.setdefault(told, []).append(key[1])
    methods = list(dict.fromkeys((model, method) for model, method, *_ in rows))
    cells = [
        (model, method, name, ", ".join(map(bits_label, at)), *rest)
        for (model, method, name, *rest), at in sorted(rows.items(), key=lambda item: methods.index(item[0][:2]))
    ]
    note = (
        "Read from the traced graph. Shifter: codes stand for powers of two. Conditional shifter: a flag in the code says"
        " whether to shift. Mantissa banks: a sum per mantissa beside the shifts. Encoder: codes found by comparing with"
        " boundaries. Row and column sums: of codes at run time, for zero points of the other operand; constant: the same"
        " for a shift grid's. Partial sums: a product per group of channels. Channel scales: of what a LayerNorm reads."
        " Nodes: how many need it. Charged: counted among the cost model's actions; as the multiplication that a shift stands"
        " for."
    )
    several = len({row[0] for row in cells}) > 1
    columns = ("Model", "Method", "Unit", "Bits", "Nodes", "Actions per image", "Charged")
    return filled("Extra units of post-training methods", columns, cells, lambda _: note, 78, several)
