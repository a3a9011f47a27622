"""`hwsim cost`: what it says of a small model, what its JSON holds, and its errors."""

import json

import pytest

from hwsim.cli import run
from hwsim.cli._options import bytes_of, conventions_of
from hwsim.errors import HwsimError

DIGITS = ["cost", "digits_deit"]


def said(capsys, *options):
    assert run([*DIGITS, *options]) == 0
    return capsys.readouterr().out


@pytest.fixture(scope="module")
def answer(tmp_path_factory):
    path = tmp_path_factory.mktemp("cost") / "cost.json"
    assert run([*DIGITS, "--buffer", "64KiB", "--batch", "2", "--json", str(path)]) == 0
    return json.loads(path.read_text())


def test_a_summary_in_four_sentences(capsys):
    lines = said(capsys, "--convention", "macs").strip().splitlines()[-4:]
    assert lines[0] == "117,658 parameters and 256 of norms that qvit puts on q and k, 0.081 MB in all."
    assert lines[1] == "Scales and zero points: 0.007 MB more (9.20 %)."
    assert lines[2] == "At most 0.151 MB of activations alive, at blocks.0.attn.qk.dequantize."
    assert lines[3] == "DRAM traffic of one image, with nothing kept on chip: 6.015 MB, 1.5 MAC/B."


def test_the_float_model_stands_beside_it(capsys):
    text = said(capsys, "--convention", "bitops_wa")
    assert "in floats" in text
    assert "62.94 x" in text
    assert "in floats" not in said(capsys, "--convention", "bitops_wa", "--wbits", "32", "--abits", "32")


def test_options_add_tables(capsys):
    text = said(capsys, "--actions", "--memory", "--extra-scales", "--buffer", "1MB", "--batch", "4")
    for part in ("actions of one image", "stored", "zero_point", "DRAM traffic of a batch of 4, with a buffer of 1MB"):
        assert part in text
    assert "blocks.3.attn" not in text
    assert "blocks.3.attn" in said(capsys, "--memory", "--per-layer")


def test_options_of_conventions(capsys, tmp_path):
    assert "141.8 M" in said(capsys, "--convention", "bitops_wa", "--set", "ends_bits=4")
    rule = tmp_path / "mine.toml"
    rule.write_text('base = "bitops_wa"\nends_bits = 4\n')
    assert "141.8 M" in said(capsys, "--convention", str(rule))


def test_json_holds_everything(answer):
    assert {"model", "wbits", "abits", "ends", "left_out", "records"} <= set(answer)
    assert sum(s["bytes"] for s in answer["stored"]) == answer["parameter_bytes"] + answer["extra_bytes"]
    macs = sum(c["count"] for c in answer["actions"] if c["kind"] == "mac")
    total = next(r["value"] for r in answer["records"] if r["metric"] == "macs" and not r["node"])
    assert macs == total == sum(node["costs"]["macs"] for node in answer["nodes"])
    assert answer["traffic"]["total"]["macs"] == 2 * macs
    assert answer["buffer_bytes"] == 65536
    assert answer["batch"] == 2
    assert len(answer["attention_bytes"]) == 4
    assert answer["in_floats"]["macs"] == macs
    assert answer["traffic"]["total"]["bytes"] == sum(t["bytes"] for t in answer["traffic"]["nodes"].values())


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("65536", 65536), ("512KiB", 524288), ("1MB", 10**6), ("1.5 kB", 1500), ("2GiB", 2**31), ("7B", 7)],
)
def test_bytes(text, size):
    assert bytes_of(text, "--buffer") == size


@pytest.mark.parametrize("text", ["", "big", "-1", "5 MiBs", "1e6", "3TiB", "7iB", "9" * 400])
def test_no_bytes(text):
    with pytest.raises(HwsimError) as error:
        bytes_of(text, "--buffer")
    assert str(error.value) == (
        f"--buffer: must be a number of bytes, got {text!r}; write it as 512KiB, 1.5MB or 65536"
    )


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (["ends_bits"], "--set: must read KEY=VALUE, got 'ends_bits'; as in --set attention_bits=8"),
        (["=4"], "--set: must read KEY=VALUE, got '=4'; as in --set attention_bits=8"),
        (["a=4"], "--set: needs a convention whose option it is, got a; add --convention NAME"),
        (["a=4", "a=5"], "--set: must give each option once, got a twice; leave one out"),
    ],
)
def test_no_settings(settings, text):
    with pytest.raises(HwsimError) as error:
        conventions_of([], settings)
    assert str(error.value) == text


def test_conventions_of_one_name(tmp_path):
    rule = tmp_path / "mine.toml"
    rule.write_text('base = "bitops_wa"\nname = "macs"\n')
    for names in (["macs", "macs"], ["bitops_wa", "macs", str(rule)]):
        with pytest.raises(HwsimError) as error:
            conventions_of(names, [])
        assert str(error.value) == (
            "--convention: each must have a name of its own, got macs twice; leave one out or name it anew"
        )


def test_a_convention_with_options():
    (chosen,) = conventions_of(["bireal_ladder"], ["attention_bits=8"])
    assert chosen.attention_bits == 8
