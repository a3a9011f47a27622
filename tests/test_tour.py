"""docs/tour.md runs, top to bottom, in one session."""

import re
from pathlib import Path

TOUR = Path(__file__).parent.parent / "docs" / "tour.md"


def test_every_block_of_the_tour_runs(capsys):
    text = TOUR.read_text(encoding="utf-8")
    blocks = list(re.finditer(r"```python\n(.*?)```", text, flags=re.DOTALL))
    assert len(blocks) >= 7
    session: dict[str, object] = {}
    for block in blocks:
        lines_before = text.count("\n", 0, block.start(1))
        exec(compile("\n" * lines_before + block[1], str(TOUR), "exec"), session)
    assert "codes compared" in capsys.readouterr().out
