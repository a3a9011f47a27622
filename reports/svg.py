"""An SVG file of ours as a part of an HTML page: no prolog, ids of its own, colours that follow the theme."""

import html
import re

from reports import style

_THEMED = {style.INK: "var(--ink)", style.MUTED: "var(--muted)", style.GRID: "var(--grid)", style.PAPER: "none"}
_COMMENT = re.compile(r"<!--.*?-->\s*", re.DOTALL)
_ID = re.compile(r'(\bid="|\bhref="#|url\(#)')
_OPENING = re.compile(r"<svg\b[^>]*>")


def inline_svg(svg: str, name: str, label: str) -> str:
    """The `<svg>` element of the document `svg`; `name` makes its ids unique, screen readers read `label`."""
    body = _COMMENT.sub("", svg[svg.index("<svg") :])
    body = _ID.sub(rf"\g<1>{name}-", body)
    for colour, variable in _THEMED.items():
        body = body.replace(colour, variable)
    box = re.search(r'viewBox="([\d. -]+)"', body)
    assert box is not None  # matplotlib always writes one
    return _OPENING.sub(
        f'<svg viewBox="{box.group(1)}" role="img" aria-label="{html.escape(label)}">',
        body,
        count=1,
    )
