"""The written report: whole or not at all, self-contained, and safe against what names may hold."""

import re
from html.parser import HTMLParser

import pytest

from hwsim import catalog
from hwsim.errors import BadFile
from hwsim.record import Record, read_records
from reports import report
from reports.report import write_report

FIGURES = {f"figures/{name}.{kind}" for name in catalog.names("reports.figures") for kind in ("png", "svg")}
ALL = FIGURES | {"report.md", "report.html", "records.jsonl"}


class Page(HTMLParser):
    """Tags with attributes, and the visible text, of an HTML page; checks that tags are nested."""

    VOID = ("meta", "link", "br", "img")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def content(folder):
    return {name: (folder / name).read_bytes() for name in files(folder)}


@pytest.fixture(scope="module")
def written(records, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "deep" / "out"
    paths = write_report(records, out)
    assert {str(path.relative_to(out)) for path in paths} == ALL
    return out


@pytest.fixture
def few(records):
    """Records for a single table, so that a report takes no time."""
    return [r for r in records if r.workload == "reproduce"]


def test_everything_is_written_and_nothing_else(written, records):
    assert files(written) == ALL
    assert not list(written.glob(".report-*"))
    assert {r.as_json().__repr__() for r in read_records(written / "records.jsonl")} >= {
        Record(r.workload, r.metric, r.value, r.unit, r.node, source=r.source, tags=tuple(sorted(r.tags)))
        .as_json()
        .__repr__()
        for r in records[:20]
    }


def test_html_needs_nothing_from_outside(written):
    text = (written / "report.html").read_text()
    page = Page(text)
    names = [tag for tag, _ in page.tags]
    assert "http" not in text
    assert not {"script", "link", "img", "iframe"} & set(names)
    assert not [a for _, attrs in page.tags for a in attrs if a.startswith("on") or a == "src"]
    links = [a.get("href", a.get("xlink:href")) for _, a in page.tags if "href" in a or "xlink:href" in a]
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in links} <= set(ids)
    assert set(re.findall(r"url\(#([^)]*)\)", text)) <= set(ids)
    assert names.count("figure") == len(FIGURES) / 2
    assert names.count("figcaption") == len(FIGURES) / 2
    assert "var(--ink)" in text[text.index("<svg") :]


def test_the_head_says_what_the_claims_are_made_of(written):
    for name in ("report.md", "report.html"):
        text = (written / name).read_text()
        assert "6.142857x = 4.3/0.7 by qvit_table R1a, entries to 1 decimal (inferred)" in text
        assert "7.33x by bireal_ladder + swin_flops, un-rounded (documented)" in text
        assert "21.5x = 4.3/0.2 by qvit_table R1b" in text
        assert "22.78x by" in text


def test_words_about_accelerators_stand_before_their_tables(written):
    said = "DeiT-S on bitfusion, W4A4: 3.503 M cycles, 7.005 ms, 142.7 frames/s."
    text = (written / "report.md").read_text()
    assert text.index("\n## Accelerator\n") < text.index(said) < text.index("## Accelerator estimates")
    page = (written / "report.html").read_text()
    assert f"<p>{said}" in page[page.index('<h2 id="text-accelerator">Accelerator</h2>') :]


def test_markdown_tables_parse(written):
    text = (written / "report.md").read_text()
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(blocks) == len(catalog.names("reports.tables"))
    for block in blocks:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1
    pictures = re.findall(r"!\[.*\]\((.*)\)", text)
    assert len(pictures) == len(FIGURES) / 2
    assert all((written / picture).is_file() for picture in pictures)


@pytest.mark.slow
def test_hostile_names_stay_text(hostile, tmp_path):
    write_report(hostile, tmp_path)
    text = (tmp_path / "report.html").read_text()
    page = Page(text)
    assert "script" not in {tag for tag, _ in page.tags}
    assert "<script>" not in text
    assert "alert(1)" in "".join(page.words)
    assert "<script>" not in (tmp_path / "report.md").read_text()


def test_what_has_no_records_is_named(few, tmp_path):
    write_report(few, tmp_path)
    assert files(tmp_path) == {"report.md", "report.html", "records.jsonl"}
    for name in ("report.md", "report.html"):
        text = (tmp_path / name).read_text()
        left_out = (
            "There are no records for: table ablation, table ablation_mechanisms, table accumulator_widths,"
            " table accumulators, table agreement, table audit"
        )
        assert left_out in text
        assert "How to read" not in text
        assert "figure speedup" in text
        assert "table run" not in text


def test_a_new_report_replaces_the_old_and_keeps_what_is_not_ours(few, tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "speedup.png").write_text("of an earlier report")
    (tmp_path / "figures" / "mine.png").write_text("mine")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "report.md").write_text("old")
    write_report(few, tmp_path)
    assert files(tmp_path) == {"report.md", "report.html", "records.jsonl", "notes.txt", "figures/mine.png"}
    assert (tmp_path / "report.md").read_text() != "old"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("step", ["write_text", "as_html", "_html"])
def test_an_interruption_leaves_the_old_report(few, tmp_path, monkeypatch, step, error):
    write_report(few, tmp_path)
    before = content(tmp_path)

    def stop(*_, **__):
        raise error

    monkeypatch.setattr(report, step, stop)
    with pytest.raises(error):
        write_report([*few, Record("reproduce", "seconds", 1.0, "s")], tmp_path)
    assert content(tmp_path) == before
    assert not list(tmp_path.glob(".*"))


def test_an_interruption_leaves_no_folder_that_was_not_there(few, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "write_text", stop)
    with pytest.raises(KeyboardInterrupt):
        write_report(few, tmp_path / "new" / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_while_moving_puts_the_old_report_back(few, tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "speedup.png").write_text("old")
    (tmp_path / "records.jsonl").write_text("old")
    (tmp_path / "report.md").mkdir()
    (tmp_path / "report.md" / "a folder in the way").write_text("mine")
    before = content(tmp_path)
    with pytest.raises(BadFile, match=r"cannot be written, got .*; choose another folder"):
        write_report(few, tmp_path)
    assert content(tmp_path) == before
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("below", ["", "out", "deep/out"])
def test_a_folder_that_cannot_be_made_is_one_line(few, tmp_path, below):
    (tmp_path / "file").write_text("mine")
    out = tmp_path / "file" / below if below else tmp_path / "file"
    with pytest.raises(BadFile, match=r"^[^\n]*file[^\n]*: cannot be written, got [^\n]*; choose another folder$"):
        write_report(few, out)
    assert content(tmp_path) == {"file": b"mine"}
