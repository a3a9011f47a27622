"""The table in docs/comparison.md says what the records of the comparison say."""

from pathlib import Path

from hwsim.record import read_folder
from reports.rivals import found, undefined

ROOT = Path(__file__).parents[1]
RECORDS = tuple(read_folder(ROOT / "workloads" / "results" / "methods"))


def test_the_table_is_that_of_the_records():
    divergence = {key[1:]: group for key, group in found(RECORDS, "method_kl_divergence").items()}
    accuracy = {key[1:]: group for key, group in found(RECORDS, "method_accuracy", split="test").items()}
    lines = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| method | KL, W8A8 |")) + 2
    stated = {}
    while lines[start].startswith("|"):
        method, *cells = (cell.strip() for cell in lines[start].strip("|").split("|"))
        stated[method], start = cells, start + 1
    assert list(stated) == [method for bits, method in divergence if bits == (4, 4)]
    for method, cells in stated.items():
        wide = [divergence[(b, b), method] for b in (8, 6)]
        narrow = [divergence[(b, b), method] for b in (4, 3)]
        shares = [accuracy[(b, b), method] for b in (4, 3)]
        assert cells == [
            *(f"{group.mean:.2g}" for group in wide),
            *(f"{group.mean:.2g} ± {group.spread:.1g}" for group in narrow),
            *(f"{100 * group.mean:.1f} ± {100 * group.spread:.1f}" for group in shares),
        ]


def test_nothing_was_left_out_and_no_code_differed():
    assert not undefined(RECORDS)
    runs = {(r.tag("label"), r.tag("wbits"), r.tag("seed")) for r in RECORDS if r.metric == "method_seconds"}
    assert len(runs) == 11 * 4 * 3
    assert sum(int(r.value) for r in RECORDS if r.metric == "method_mismatches") == 0
    assert round(sum(int(r.value) for r in RECORDS if r.metric == "method_codes") / 1e9, 2) == 17.27
