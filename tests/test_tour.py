"""docs/tour.md runs, top to bottom, in one session."""

import re
from pathlib import Path

TOUR = Path(__file__).parent.parent / "docs" / "tour.md"


def test_every_block_of_the_tour_runs(capsys):
    blocks = re.findall(r"```python\n(.*?)```", TOUR.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) >= 7
    session: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(TOUR), "exec"), session)
    assert "codes compared" in capsys.readouterr().out
