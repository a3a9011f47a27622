import pytest
from rich.console import Console

from reports.table import Table, as_html, as_markdown, as_rich

EVIL = "<b>|[red]a`*_\nb"
TABLE = Table("T", ("name", "count"), ((EVIL, "1,024"), ("y", "0 of 12"), ("z", "")), "A note.")


def test_numbers_stand_to_the_right():
    assert TABLE.right_aligned() == (False, True)
    cells = ["7.33x", "-3.5 %", "4.3 / 0.7", "22.05 MB", "1,253.683", "4.601 GFLOP", "1e-06"]
    assert all(Table("", ("c",), ((cell,),)).right_aligned() == (True,) for cell in cells)
    assert not any(Table("", ("c",), ((cell,),)).right_aligned()[0] for cell in ("W4A4", "", "3 of a kind", "none"))


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="T: a row must have 2 cells, got 1; mend"):
        Table("T", ("a", "b"), (("1",),))


def test_markdown_keeps_its_columns_whatever_the_cells_hold():
    lines = as_markdown(TABLE).splitlines()
    assert lines[0] == "| name | count |"
    assert lines[1] == "| --- | ---: |"
    assert lines[2] == r"| \<b\>\|\[red\]a\`\*_ b | 1,024 |"
    assert lines[-1] == "A note."


def test_html_escapes_every_cell():
    text = as_html(TABLE)
    assert "<b>" not in text
    assert "&lt;b&gt;|[red]" in text
    assert '<td class="n">1,024</td>' in text


def test_rich_shows_cells_as_they_are():
    console = Console(width=80, record=True, quiet=False)
    console.print(as_rich(TABLE))
    assert "<b>|[red]a`*_" in console.export_text()


def test_groups_end_only_where_rows_stand_in_groups():
    def ends(*first):
        return Table("", ("c",), tuple((cell,) for cell in first)).group_ends()

    assert ends("a", "a", "b") == (False, True, True)
    assert ends("a", "b", "c") == (False, False, False)
    assert ends("a", "b", "a") == (False, False, False)
