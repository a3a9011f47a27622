"""Records of one model at several widths: they say what the rows say."""

from collections import Counter

from hwsim.cost.memory import Peak
from hwsim.cost.overview import FIXED, PER_BITS, overview
from hwsim.cost.storage import extra_bytes, parameter_bytes
from hwsim.cost.table import tally
from hwsim.cost.work import with_bits, work
from hwsim.graph import Graph
from hwsim.record import Record

WIDTHS = (32, 4, 2)


def _records(block: Graph) -> list[Record]:
    return overview("block", "Block", work(block), WIDTHS, Peak(123, "n", ()), 4)


def test_every_convention_and_width(block: Graph) -> None:
    rows = _records(block)
    totals = {(r.metric, r.tag("wbits")): r.value for r in rows if not r.node}
    assert all((name, "") in totals for name in FIXED)
    for bits in WIDTHS:
        for name in PER_BITS:
            assert totals[name, str(bits)] == tally(with_bits(work(block), bits, bits), name).total
    assert totals["peak_activation_bytes", "4"] == 123
    assert {r.tag("label") for r in rows} == {"Block"}


def test_sizes_and_operand_widths(block: Graph) -> None:
    for bits in WIDTHS:
        priced = with_bits(work(block), bits, bits)
        at = [r for r in _records(block) if r.tag("wbits") == str(bits)]
        stored = {r.node: float(r.value) for r in at if r.metric == "stored_bytes"}
        assert sum(stored.values()) == parameter_bytes(priced) + extra_bytes(priced)
        assert ("scale" in stored) == (bits < 32)
        products = {r.node: r.value for r in at if r.metric == "bitops_by_operands"}
        ends = 32 if bits == 32 else 8
        assert set(products) == {f"{bits}x{bits}", f"{ends}x{ends}"}
        assert sum(map(float, products.values())) == tally(priced, "bitops_wa").total


def test_actions_of_the_traced_widths(block: Graph) -> None:
    found: Counter[str] = Counter()
    for record in _records(block):
        if record.metric == "actions":
            assert record.tag("wbits") == "4"
            found[record.tag("action")] += int(record.value)
    whole: Counter[str] = Counter()
    for row in work(block):
        for action, count in row.actions.items():
            whole[action.kind] += count
    assert found == +whole
