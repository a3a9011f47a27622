"""The written report: every table and figure of the catalogues for which there are records, and the words between them,
as Markdown and as HTML.

All of it is first written to a temporary folder inside `out` and moved into place when it is whole; an earlier report
in `out` stays until then, and comes back if the move fails. Files of other names in `out` are never touched.
"""

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from hwsim import catalog
from hwsim.errors import BadFile
from hwsim.files import write_text
from hwsim.record import Record, write_records
from reports import prose
from reports.passage import Passage
from reports.plot import Plot
from reports.style import save
from reports.svg import inline_svg
from reports.table import Table, as_html, as_markdown, markdown_text

TABLES, FIGURES = "reports.tables", "reports.figures"
_TITLE = "hwsim report"
_KINDS = {Table: "table", Plot: "figure", Passage: "text"}


@dataclass(frozen=True, slots=True)
class _Section:
    name: str
    content: Table | Plot | Passage

    @property
    def anchor(self) -> str:
        return f"{_KINDS[type(self.content)]}-{self.name}"


def write_report(records: Iterable[Record], out: Path) -> tuple[Path, ...]:
    """Write report.md, report.html, records.jsonl and figures/ to `out`; return what was written. Raises BadFile."""
    rows = tuple(records)
    created = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".report-", dir=out))
    except OSError as error:
        _remove_empty(created)
        raise BadFile(f"{out}: cannot be written, got {error.strerror or error}; choose another folder") from None
    try:
        fresh = staging / "new"
        _render(rows, fresh)
        return _move(fresh, out, staging / "old")
    except OSError as error:
        raise BadFile(f"{out}: cannot be written, got {error.strerror or error}; choose another folder") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        _remove_empty(created)


def sections(records: Sequence[Record]) -> tuple[tuple[_Section, ...], tuple[str, ...]]:
    """What the records allow, in the order of the report, and the names of the tables and figures left out."""
    made = [
        (f"{kind} {name}", name, catalog.find(package, name)(records))
        for kind, package in (("table", TABLES), ("figure", FIGURES))
        for name in catalog.names(package)
    ]
    said = prose.accelerator(records)
    found = [_Section(name, content) for _, name, content in made if content]
    found += [_Section("accelerator", said)] if said else []
    shown = sorted(found, key=lambda s: s.content.place)
    return tuple(shown), tuple(title for title, _, content in made if content is None)


def _render(records: Sequence[Record], folder: Path) -> None:
    shown, skipped = sections(records)
    drawings = {}
    for section in shown:
        if isinstance(section.content, Plot):
            _, svg = save(section.content.figure, folder / "figures", section.name)
            drawings[section.name] = inline_svg(svg.read_text(encoding="utf-8"), section.name, section.content.title)
    about, findings = prose.about(records), prose.findings(records)
    write_records(records, folder / "records.jsonl")
    write_text(_markdown(shown, skipped, about, findings), folder / "report.md")
    write_text(_html(shown, skipped, about, findings, drawings), folder / "report.html")


def _markdown(shown: Sequence[_Section], skipped: Sequence[str], about: Sequence[str], findings: Sequence[str]) -> str:
    parts = [f"# {_TITLE}"]
    if about:
        parts += ["## How to read the figures", *(markdown_text(text) for text in about)]
    if findings:
        parts.append("\n".join(f"- {markdown_text(text)}" for text in findings))
    for section in shown:
        content = section.content
        parts.append(f"## {markdown_text(content.title)}")
        if isinstance(content, Table):
            parts.append(as_markdown(content).rstrip("\n"))
        elif isinstance(content, Passage):
            parts += [markdown_text(text) for text in content.paragraphs]
        else:
            parts.append(f"![{markdown_text(content.title)}](figures/{section.name}.png)")
            parts.append(markdown_text(content.caption))
    if skipped:
        parts.append("## Left out")
        parts.append(f"There are no records for: {', '.join(skipped)}.")
    return "\n\n".join(parts) + "\n"


def _html(
    shown: Sequence[_Section],
    skipped: Sequence[str],
    about: Sequence[str],
    findings: Sequence[str],
    drawings: dict[str, str],
) -> str:
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.get_template("report.html.j2").render(
        title=_TITLE,
        about=about,
        findings=findings,
        skipped=skipped,
        sections=[
            {
                "anchor": section.anchor,
                "title": section.content.title,
                "table": as_html(section.content) if isinstance(section.content, Table) else "",
                "drawing": drawings.get(section.name, "") if isinstance(section.content, Plot) else "",
                "paragraphs": section.content.paragraphs if isinstance(section.content, Passage) else (),
                "text": _text(section.content),
            }
            for section in shown
        ],
    )


def _text(content: Table | Plot | Passage) -> str:
    """What stands below a table or a figure."""
    if isinstance(content, Passage):
        return ""
    return content.note if isinstance(content, Table) else content.caption


def _move(fresh: Path, out: Path, kept: Path) -> tuple[Path, ...]:
    """Move all files below `fresh` to their places below `out`; on any failure put back what was there before."""
    new = sorted(path.relative_to(fresh) for path in fresh.rglob("*") if path.is_file())
    drawn = {Path("figures", f"{name}.{kind}") for name in catalog.names(FIGURES) for kind in ("png", "svg")}
    done: list[Path] = []
    try:
        for path in sorted({*new, *drawn}):
            done.append(path)
            if (out / path).is_file():
                (kept / path).parent.mkdir(parents=True, exist_ok=True)
                (out / path).replace(kept / path)
            if path in new:
                (out / path).parent.mkdir(parents=True, exist_ok=True)
                (fresh / path).replace(out / path)
    except BaseException:
        for path in done:
            if (kept / path).is_file():
                (kept / path).replace(out / path)
            elif path in new and not (fresh / path).exists():
                (out / path).unlink(missing_ok=True)
        raise
    return tuple(out / path for path in new)


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove those of `folders` that are there and empty, the innermost first."""
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
