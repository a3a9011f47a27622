"""What `--activity` prints: how little of the codes' bits a machine that follows the data would meet, by group of layers."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from hwsim import console
from hwsim.cli._output import print_table

if TYPE_CHECKING:
    from hwsim.accel.activity import Activity, OperandActivity
    from hwsim.graph import Graph
    from qmodels.data import Batches

COLUMNS = ("Group", "Operand", "Codes", "Bits", "Mean", "Of 16", "Of 256", "Zero", "Ones", "Toggles")
NOTE = (
    "Means over the codes: bits that are left of each code, and of its group of 16 or 256 along K, without leading ones that "
    "say nothing; zeros; set bits; bits that change along K (random: 50.0%). Raw codes hold their zero point, centred ones "
    "are without. docs/activity.md defines them."
)


def measured(graph: "Graph", batches: "Batches", threads: int | None) -> "Activity":
    """The activity of `graph` on all images."""
    from hwsim.simulator import as_codes, simulate
    from hwsim.study.activity import Measure

    measure, done = Measure(graph), 0
    with console.progress("measuring activity") as advance:
        for images, _ in batches:
            simulate(graph, as_codes(graph, {graph.inputs[0]: images.numpy()}), threads=threads, execute=measure)
            done += len(images)
            advance(done, batches.images)
    return measure.activity(done)


def show(activity: "Activity", graph: "Graph") -> None:
    """Print the means by group; centred codes only where they are others than the raw ones."""
    from hwsim.cost.groups import GROUPS, group_of
    from reports.table import Table

    groups = {node.name: group_of(node.name, node.op) for node in graph.nodes}
    rows = []
    for group in GROUPS:
        found = [readings for name, readings in activity.products.items() if groups[name] == group]
        for side, operand in enumerate(("left", "right") if found else ()):
            raw, centred = ([both[i][side] for both in found] for i in (0, 1))
            rows.append((group, operand, "raw", *_cells(raw)))
            if centred != raw:
                rows.append((group, operand, "centred", *_cells(centred)))
    title = f"Activity of the codes that products read, {activity.images} images"
    print_table(Table(title, COLUMNS, tuple(rows), NOTE))


def _cells(operands: "list[OperandActivity]") -> tuple[str, ...]:
    """Bits, then the means over the codes of all `operands`."""

    def mean(figure: "Callable[[OperandActivity], float]") -> float:
        return sum(figure(o) * o.count for o in operands) / sum(o.count for o in operands)

    bits = sorted({o.bits for o in operands})
    return (
        " ".join(map(str, bits)),
        f"{mean(lambda o: o.mean_bits):.2f}",
        f"{mean(lambda o: o.group_bits(16)):.2f}",
        f"{mean(lambda o: o.group_bits(256)):.2f}",
        f"{mean(lambda o: o.zeros):.1%}",
        f"{mean(lambda o: o.ones):.2f}",
        f"{mean(lambda o: o.toggles):.1%}",
    )
