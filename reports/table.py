"""Table: text cells under headings, rendered for the terminal (rich), as Markdown and as HTML.

A column whose cells are all numbers (with a sign, a prefix or a unit) is aligned to the right; `-` is a number that is not
known.
"""

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import rich.table
from rich import box
from rich.text import Text

_NUMBER = re.compile(r"[+-]?\d[\d., ]*(e[+-]?\d+)?( of \d[\d, ]*)?( ?(%|x|[kMGT]?[A-Za-z]{0,4}))?( [/±] [\d.]+)?")
_MARKDOWN = re.compile(r"([\\`*|<>\[\]])")


@dataclass(frozen=True, slots=True)
class Table:
    """`rows` of text under `columns`; `note` says how to read them; `place` orders tables and figures in the report."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    place: int = 90

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.title}: a row must have {len(self.columns)} cells, got {len(row)}; mend {row}")

    def right_aligned(self) -> tuple[bool, ...]:
        """For each column, whether it holds numbers."""
        return tuple(
            _numeric([row[i] for row in self.rows if row[i] not in ("", "-")]) for i in range(len(self.columns))
        )

    def group_ends(self) -> tuple[bool, ...]:
        """For each row, whether a group of rows with one first cell ends there, where the rows stand in such groups."""
        first = [row[0] for row in self.rows]
        ends = [here != below for here, below in zip(first, [*first[1:], None], strict=True)]
        return tuple(end and sum(ends) == len(set(first)) < len(first) for end in ends)


def filled(
    title: str,
    columns: tuple[str, ...],
    rows: Sequence[tuple[str, ...]],
    note: Callable[[Sequence[str]], str],
    place: int,
    first: bool,
) -> Table:
    """The table without columns that are empty in every row, nor the `first` one unless asked for; `note` is of the rest."""
    kept = [i for i in range(len(columns)) if (i or first) and any(row[i] for row in rows)]
    heads = tuple(columns[i] for i in kept)
    return Table(title, heads, tuple(tuple(row[i] for i in kept) for row in rows), note(heads), place)


def as_rich(table: Table) -> rich.table.Table:
    """`table` for a terminal; cells are plain text, never rich markup."""
    shown = rich.table.Table(
        title=Text(table.title), caption=Text(table.note), box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    shown.title_justify = shown.caption_justify = "left"
    for column, right in zip(table.columns, table.right_aligned(), strict=True):
        shown.add_column(Text(column), justify="right" if right else "left", vertical="top", overflow="fold")
    for row, end in zip(table.rows, table.group_ends(), strict=True):
        shown.add_row(*(Text(cell) for cell in row), end_section=end)
    return shown


def as_markdown(table: Table) -> str:
    """`table` as a GitHub-flavoured Markdown table, followed by its note."""
    rule = ["---:" if right else "---" for right in table.right_aligned()]
    cells = [[markdown_text(cell) for cell in row] for row in (table.columns, *table.rows)]
    lines = ["| " + " | ".join(row) + " |" for row in (cells[0], rule, *cells[1:])]
    return "\n".join([*lines, "", markdown_text(table.note), ""] if table.note else [*lines, ""])


def markdown_text(text: str) -> str:
    """`text` on one line, with what Markdown would take for markup escaped."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def as_html(table: Table) -> str:
    """`table` as an HTML table element; every cell is escaped, numbers have the class `n`."""
    right = table.right_aligned()
    head = "".join(_cell("th", cell, r, ' scope="col"') for cell, r in zip(table.columns, right, strict=True))
    body = "".join(_row(row, right, end) for row, end in zip(table.rows, table.group_ends(), strict=True))
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>"


def _row(row: tuple[str, ...], right: tuple[bool, ...], end: bool) -> str:
    cells = "".join(_cell("td", cell, r) for cell, r in zip(row, right, strict=True))
    return f'<tr class="end">{cells}</tr>\n' if end else f"<tr>{cells}</tr>\n"


def _cell(tag: str, text: str, right: bool, attributes: str = "") -> str:
    numeric = ' class="n"' if right else ""
    return f"<{tag}{attributes}{numeric}>{html.escape(text)}</{tag}>"


def _numeric(cells: list[str]) -> bool:
    return bool(cells) and all(_NUMBER.fullmatch(cell) for cell in cells)
