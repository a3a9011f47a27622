"""Contract: every table and every figure keeps the house rules."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from hwsim import catalog
from hwsim.errors import BadFile
from hwsim.record import Record
from reports.plot import Plot
from reports.style import save
from reports.table import Table, as_html, as_markdown, as_rich

ROOT = Path(__file__).parents[2] / "reports"
ENTRIES = [(folder, name) for folder in ("tables", "figures") for name in catalog.names(f"reports.{folder}")]
entries = pytest.mark.parametrize(("folder", "name"), ENTRIES)
figures = pytest.mark.parametrize("name", catalog.names("reports.figures"))
tables = pytest.mark.parametrize("name", catalog.names("reports.tables"))


@entries
def test_a_file_defines_one_public_function_of_its_own_name(folder, name):
    tree = ast.parse((ROOT / folder / f"{name}.py").read_text())
    defined = [n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    assert [n for n in defined if not n.startswith("_")] == [name]
    assert ast.get_docstring(tree)


@entries
def test_nothing_is_drawn_without_records(folder, name):
    draw = catalog.find(f"reports.{folder}", name)
    assert draw(()) is None
    assert draw((Record("w", "unrelated", 1, "x"),)) is None


@entries
def test_all_records_give_a_whole_entry(folder, name, records):
    made = catalog.find(f"reports.{folder}", name)(records)
    assert isinstance(made, Table if folder == "tables" else Plot)
    assert made.title
    assert made.place < 100
    assert folder == "tables" or len(made.caption) > 60


@tables
def test_a_table_fits_110_columns_without_losing_text(name, records):
    table = catalog.find("reports.tables", name)(records)
    console = Console(width=110, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(as_rich(table))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 110
    for column in table.columns:
        for word in column.replace(",", " ").split():
            assert word[:8] in text
    assert as_html(table).count("<tr") == len(table.rows) + 1
    assert as_markdown(table).startswith("| ")


@figures
@pytest.mark.slow
def test_a_figure_is_the_same_byte_for_byte(name, records, tmp_path):
    draw = catalog.find("reports.figures", name)
    once = [path.read_bytes() for path in save(draw(records).figure, tmp_path / "a", name)]
    again = [path.read_bytes() for path in save(draw(records).figure, tmp_path / "b", name)]
    assert once == again
    assert once[0].startswith(b"\x89PNG")
    assert b"<dc:date>" not in once[1]


@figures
@pytest.mark.slow
def test_hostile_names_are_drawn_as_they_are(name, hostile, tmp_path):
    save(catalog.find("reports.figures", name)(hostile).figure, tmp_path, name)


@entries
def test_text_for_a_number_is_refused(folder, name, records):
    bad = [replace(r, value="soon") for r in records]
    bad = [r for r in bad if (r.workload == "reproduce") == (name == "run")]
    with pytest.raises(BadFile, match="value must be a number, got 'soon'; write the records again"):
        catalog.find(f"reports.{folder}", name)(bad)


@pytest.mark.parametrize("name", ["readings", "costs"])
def test_bits_that_are_no_integers_are_refused(name):
    tags = (("wbits", "four"), ("abits", "4"))
    rows = [Record("m", metric, 1.0, "x", tags=tags) for metric in ("theoretical_speedup", "macs")]
    with pytest.raises(BadFile, match=r"tags wbits and abits must be integers, got \('four', '4'\)"):
        catalog.find("reports.tables", name)(rows)
