"""The words of the report: how to read what is in it, which convention yields which claimed figure, and what each
accelerator gives and why."""

from collections.abc import Sequence

from hwsim.record import Record
from reports import estimates, verdicts
from reports.passage import Passage
from reports.prefixes import engineering
from reports.ratios import RATIOS, claimed, documented
from reports.rows import bits, bits_label, label, number, select

NEAR = 0.03
"""Share of a claimed figure within which a reading is said to come near it."""

_RATIOS = (
    "A speedup here is a ratio of counted operations, full precision over quantized. It is not a measured time.",
    "Documented rule: operations = full-precision operations + 1/32, 1/16, 1/8 of the 2-, 3-, 4-bit multiplications, as"
    " the Q-ViT group prints it in its next paper (Q-DETR, after Bi-Real Net), one operation"
    " per MAC and per LayerNorm element at full precision, as Swin's code counts. Nothing is rounded.",
    "Rounded entries: a paper's table prints operations with one decimal, and a quoted speedup may be the ratio of two"
    " such entries. This reading is inferred: no source states it, and the paper's own table could not be obtained. It"
    " reaches a claimed figure which the documented rule, un-rounded, does not.",
    "qvit_table counts the distilled model that the released code builds, and leaves the attention products out of the"
    " full-precision side. R1b prices them at the model's bits on the quantized side and adds elementwise work at full"
    " cost; R1a prices them at 8 bits and adds nothing. Swin has no distilled form, its own graph serves. MACs alone: plain"
    " DeiT-S, attention at the model's bits, nothing elementwise.",
    "Status words: printed = read in the paper itself; secondary = quoted by another source; documented = our figure by"
    " a rule that the authors print; inferred = our figure by our best reading, unconfirmed.",
)
_STUDIES = (
    "Mixed form: products of integers, and float islands (softmax, GELU, LayerNorm, residual) between them. It makes the"
    " codes of the fake-quant model in float64, one by one, and so stands for it where something is compared with fake"
    " quant. Integer form: no float is left; a recipe names the integer definition of each island, and the widths.",
    "Divergence is the Kullback-Leibler divergence from fake quant's predictions, natural logarithm, mean over the test"
    " images. It tells small changes apart where accuracy, which moves in steps of one image, does not.",
)
_ACCELERATOR = (
    "What follows is of models of accelerators, by closed forms: no number of it was measured on hardware. An estimate's"
    " cycles split into six parts that add up to them. A theoretical speedup, as papers print it, knows of none but the"
    " first."
)


def about(records: Sequence[Record]) -> tuple[str, ...]:
    """How to read the figures and tables that the records give."""
    ratios = _RATIOS if select(records, *RATIOS) else ()
    return (*ratios, *_STUDIES) if any(r.tag("study") for r in records) else ratios


def accelerator(records: Sequence[Record]) -> Passage | None:
    """What each accelerator gives for the first workload at the width nearest to W4A4: which part of its cycles is the
    largest, and what is left of the speedup on paper. None where no cycles were split."""
    found = {case: rows for case, rows in estimates.shown(estimates.cases(records)).items() if estimates.parts(rows)}
    if not found:
        return None
    said = (_estimate(case, found[case], records) for case in estimates.usual(found))
    return Passage("Accelerator", (_ACCELERATOR, *said), place=70)


def findings(records: Sequence[Record]) -> tuple[str, ...]:
    """One sentence per claim of a speedup: the inferred readings near it (or the nearest), beside the documented rule's
    figure; and one that counts what became of all published figures."""
    rows = [r for r in select(records, *RATIOS) if claimed(r) is not None]
    claims: dict[tuple[object, ...], list[Record]] = {}
    for row in rows:
        claims.setdefault((row.workload, row.metric, bits(row), row.tag("claim"), row.tag("printed")), []).append(row)
    counted = verdicts.summary(records)
    return (*(_finding(found, records) for found in claims.values()), *([counted] if counted else []))


def _estimate(case: estimates.Case, rows: Sequence[Record], records: Sequence[Record]) -> str:
    """`DeiT-S on bitfusion, W4A4: 3.503 M cycles, 7.006 ms, 142.7 frames/s.`, where they go, and the gap."""
    split = dict(zip(estimates.PARTS, estimates.parts(rows) or (), strict=True))
    share = dict(zip(split, estimates.shares(tuple(split.values())), strict=True))
    numbers = [f"{engineering(sum(split.values()))} cycles"]
    for metric, unit in (("latency", "ms"), ("fps", "frames/s")):
        amount = estimates.value(rows, metric)
        numbers += [] if amount is None else [f"{amount:,.4g} {unit}"]
    largest = max((part for part in split if part != "useful"), key=split.__getitem__)
    other = ", no other part any"
    if split[largest]:
        other = f"; of the other parts, {estimates.PARTS[largest]} takes most: {share[largest]:.0f} %{_above(rows, largest)}"
    return (
        f"{label(case.workload, records)} on {case}: {', '.join(numbers)}. Useful work takes {share['useful']:.0f} % of the"
        f" cycles{other}.{_gap(case, rows, records)}"
    )


def _above(rows: Sequence[Record], part: str) -> str:
    """In which group of layers most cycles go to `part`, where groups are known."""
    amounts = {name: estimates.value(rows, f"{part}_cycles", name) or 0.0 for name in estimates.layers(rows)}
    most = max(amounts, key=amounts.__getitem__, default="")
    return f", above all in {most}" if most and amounts[most] else ""


def _gap(case: estimates.Case, rows: Sequence[Record], records: Sequence[Record]) -> str:
    """The speedup on paper and those over each baseline, with the step that changes it most; "" where there is none."""
    over = {words: found for name, words in estimates.BASELINES.items() if (found := estimates.ladder(rows, name))}
    if not over:
        return ""
    paper = [f" On paper it is {number(r):.2f}x faster than in float." for r in estimates.on_paper(records, case)[:1]]
    return "".join((*paper, *(f" Over {words}{_climb(steps)}" for words, steps in over.items())))


def _climb(steps: Sequence[float]) -> str:
    """`: useful work gives 4.00x, all cycles 1.64x; DRAM changes it most, from 3.82x to 1.64x.`"""
    pairs = list(zip([*estimates.PARTS][1:], steps, steps[1:], strict=False))
    part, before, after = max(pairs, key=lambda pair: max(pair[1] / pair[2], pair[2] / pair[1]))
    said = f": useful work gives {steps[0]:.2f}x, all cycles {steps[-1]:.2f}x"
    if f"{before:.2f}" == f"{after:.2f}":
        return f"{said}."
    return f"{said}; {estimates.PARTS[part]} changes it most, from {before:.2f}x to {after:.2f}x."


def _finding(rows: Sequence[Record], records: Sequence[Record]) -> str:
    first = rows[0]
    mark = claimed(first) or 0.0
    ours = sorted((r for r in rows if not documented(r)), key=lambda r: abs(number(r) - mark))
    near = [r for r in ours if abs(number(r) - mark) <= NEAR * mark]
    inferred = [r for r in rows if r in (near or ours[:1])]
    ruled = [r for r in select(records, *RATIOS) if documented(r) and _place(r) == _place(first)][:1]
    said = [f"{_entries(r)} by {r.tag('convention')} (inferred)" for r in inferred]
    said += [f"{number(r):.2f}x by {r.tag('convention')} (documented)" for r in ruled]
    claim = first.tag("claim") or f"{first.tag('printed')}x"
    return f"{claim} [{label(first.workload, records)}, {bits_label(bits(first))}]: {'; beside it '.join(said)}."


def _place(record: Record) -> tuple[object, ...]:
    return record.workload, bits(record)


def _entries(record: Record) -> str:
    ratio = f"{number(record):.6f}".rstrip("0").rstrip(".") + "x"
    if not record.tag("quantized"):
        return ratio
    return f"{ratio} = {record.tag('full_precision')}/{record.tag('quantized')}"
