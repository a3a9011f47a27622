"""Passage: paragraphs of the report that stand among its tables and figures."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Passage:
    """`paragraphs` of plain text under `title`; `place` orders the report."""

    title: str
    paragraphs: tuple[str, ...]
    place: int = 90
