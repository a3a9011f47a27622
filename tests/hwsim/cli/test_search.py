"""`hwsim search`: what it prints and writes for a small model, and its errors."""

import json

import pytest

from hwsim.accel.layer_bits import LayerBits
from hwsim.cli import run

pytest.importorskip("torch")
WIDTHS = ("w8a8", "w4a4", "w2a2")
HEAVY = "blocks.3.mlp.fc1"


@pytest.fixture(scope="module")
def losses(tmp_path_factory):
    """A sensitivity file of digits_deit in which one layer loses most of all."""
    layers = {"patch_embed.proj": {"w8a8": 0}, "head": {"w8a8": 0}}
    for block in range(4):
        for name in ("attn.qkv", "attn.qk", "attn.av", "attn.proj", "mlp.fc1", "mlp.fc2"):
            layer = f"blocks.{block}.{name}"
            scale = 100 if layer == HEAVY else 1 + block
            layers[layer] = {width: scale * loss for width, loss in zip(WIDTHS, (0, 0.01, 0.1), strict=True)}
    path = tmp_path_factory.mktemp("losses") / "s.json"
    path.write_text(json.dumps({"unit": "nat", "layers": layers}))
    return path


def search(losses, *options):
    return run(["search", "digits_deit", "--accelerator", "loom", "--sensitivity", str(losses), *map(str, options)])


@pytest.mark.parametrize("method", ["greedy", "evolutionary"])
def test_it_finds_widths_within_the_budget(method, losses, tmp_path, capsys):
    out, answer = tmp_path / "bits.json", tmp_path / "answer.json"
    assert search(losses, "--size", "0.09", "--method", method, "--out", out, "--json", answer) == 0
    printed = capsys.readouterr().out
    assert f"digits_deit on loom within size 0.09 MiB, {method}, seed 0: widths" in printed
    assert "As far as losses and costs add up, no setting within these budgets loses less than " in printed
    assert printed.endswith(f"Wrote {out}.\n")
    result = json.loads(answer.read_text())
    bits = LayerBits.read(out).resolve(result["bits"])
    assert {name: list(widths) for name, widths in bits.items()} == result["bits"]
    assert bits["head"] == bits["patch_embed.proj"] == bits[HEAVY] == (8, 8)
    assert result["size"] <= 0.09
    assert result["least_loss"] <= result["loss"] <= 1.2 * result["least_loss"]
    rows = {(r["metric"], r["tags"]["setting"]): r["value"] for r in result["records"] if not r["node"]}
    assert {setting for _, setting in rows} == {"found", *WIDTHS}
    assert rows["size", "found"] == result["size"] <= 0.09 < rows["size", "w8a8"]
    assert rows["sensitivity", "w4a4"] == pytest.approx(0.01 * (6 * (1 + 2 + 3 + 4) - 4 + 100))
    assert rows["sensitivity", "found"] < rows["sensitivity", "w4a4"]


def test_its_bits_are_what_estimate_takes(losses, tmp_path, capsys):
    out, found, estimated = (tmp_path / name for name in ("bits.json", "found.json", "estimated.json"))
    assert search(losses, "--latency", "0.04", "--set", "dram.gb_per_s=12.8", "--out", out, "--json", found) == 0
    arguments = ["--accelerator", "loom", "--set", "dram.gb_per_s=12.8", "--bits", str(out), "--json", str(estimated)]
    assert run(["estimate", "digits_deit", *arguments]) == 0
    records = json.loads(estimated.read_text())["records"]
    (latency,) = (r["value"] for r in records if r["metric"] == "latency" and not r["node"])
    assert latency == pytest.approx(json.loads(found.read_text())["latency"])
    assert latency <= 0.04


@pytest.mark.slow
def test_equal_seeds_write_equal_files(losses, tmp_path):
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file in files:
        options = ("--latency", "0.03", "--energy", "0.03", "--method", "evolutionary", "--seed", "7", "--out", file)
        assert search(losses, *options) == 0
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_group_of_layers_and_an_uneven_width(tmp_path, capsys):
    losses = tmp_path / "s.json"
    layers = {"*.attn.*": {"w8a8": 0, "w4a8": 0.5}, "*.mlp.*": {"w8a8": 0, "w2a4": 0.25}, "[ph]*": {"w8a8": 0}}
    losses.write_text(json.dumps({"layers": layers}))
    assert search(losses, "--size", "0.1", "--json", "-") == 0
    bits = json.loads(capsys.readouterr().out)["bits"]
    assert bits["blocks.0.mlp.fc1"] == bits["blocks.3.mlp.fc2"] == [4, 2]
    assert bits["blocks.0.attn.qkv"] == [8, 8]


def fails(capsys, losses, *options):
    assert search(losses, *options) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line.removeprefix("error: ")


def test_what_is_wrong_is_one_line(losses, tmp_path, capsys):
    assert fails(capsys, losses) == "search: a budget is needed, got none; give --latency, --energy or --size"
    line = fails(capsys, losses, "--size", "0.01")
    assert line.startswith(
        "size: a budget must be within reach, got 0.01 MiB; the least that these widths reach is 0.05"
    )
    assert (
        fails(capsys, losses, "--size", "0") == "size: a budget must be above 0, got 0 MiB; leave it out for no limit"
    )
    line = fails(capsys, losses, "--size", "1", "--method", "greed")
    assert line == "method: unknown name, got 'greed'; known, nearest first: greedy, exact, evolutionary"
    line = fails(capsys, tmp_path / "none.json", "--size", "1")
    assert line.startswith(f"{tmp_path / 'none.json'}: cannot be read as a sensitivity file, got ")
    few = tmp_path / "few.json"
    few.write_text('{"layers": {"head": {"w8a8": 0}}}')
    line = fails(capsys, few, "--size", "1")
    assert line == (
        f"{few}: every product needs an entry, got none for patch_embed.proj and 24 more; one that stays as it is has "
        'one width, as {"w8a8": 0}'
    )


def test_the_least_that_is_named_can_be_met(losses, capsys):
    line = fails(capsys, losses, "--latency", "0.001")
    least = line.rpartition("reach is ")[2].removesuffix(" ms")
    assert search(losses, "--latency", least) == 0
