"""docs/mixed_precision.md: its files are read, its commands run, and mixed widths win at equal latency."""

import json
import re
import shlex
from pathlib import Path

import pytest

from hwsim.accel.layer_bits import LayerBits
from hwsim.accel.sensitivities import Sensitivities
from hwsim.cli import run

DOCUMENT = Path(__file__).parent.parent / "docs" / "mixed_precision.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")
LAYERS = ("attn.qkv", "attn.qk", "attn.av", "attn.proj", "mlp.fc1", "mlp.fc2")
PRODUCTS = ("patch_embed.proj", *(f"blocks.{block}.{name}" for block in range(4) for name in LAYERS), "head")


def test_its_files_are_of_digits(tmp_path: Path) -> None:
    losses, bits = (tmp_path / name for name in ("losses.json", "bits.json"))
    for path, block in zip((losses, bits), re.findall(r"```json\n(.*?)```", TEXT, flags=re.DOTALL), strict=True):
        path.write_text(block)
    assert [len(group.products) for group in Sensitivities.read(losses).groups(PRODUCTS)] == [1, 16, 8, 1]
    widths = LayerBits.read(bits).resolve(PRODUCTS)
    assert [widths[f"blocks.{block}.mlp.fc1"] for block in (0, 1)] == [(8, 8), (8, 4)]


@pytest.mark.slow
def test_mixed_widths_lose_less_than_4_bits_at_the_latency_of_4_bits(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    (commands,) = re.findall(r"```sh\n(.*?)```", TEXT, flags=re.DOTALL)
    measure, search, whole = (shlex.split(line)[1:] for line in commands.splitlines())
    assert run([*measure, "--threads", "1"]) == 0
    assert run([*search, "--json", "search.json"]) == 0
    found = json.loads(Path("search.json").read_text())
    uniform = {r["metric"]: r["value"] for r in found["records"] if r["tags"]["setting"] == "w4a4"}
    assert found["latency"] <= found["budgets"]["latency"]
    assert found["latency"] <= uniform["latency"] * 1.01
    Path("four.json").write_text('{"bits": {"*": [4, 4], "patch_embed.proj": [8, 8], "head": [8, 8]}}')
    accuracy = {}
    for bits in ("mixed.json", "four.json"):
        options = [bits if option == "mixed.json" else option for option in whole]
        assert run([*options, "--threads", "1", "--json", "answer.json"]) == 0
        records = json.loads(Path("answer.json").read_text())["records"]
        accuracy[bits] = next(r["value"] for r in records if r["metric"] == "accuracy")
    assert accuracy["mixed.json"] >= accuracy["four.json"] + 0.05
