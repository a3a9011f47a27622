"""Findings are kept as they were made, or not at all."""

import json
from pathlib import Path

import pytest

from hwsim.errors import BadFile
from hwsim.study.accumulators import Overflow, Range
from qmodels.comparison import CodeCount, LogitSums, RealSums
from qmodels.examiner import Finding, Shard
from qmodels.resume import Kept, default_folder
from qmodels.tally import Place, Tally

SHARDS = (Shard(0, 2), Shard(2, 3))


def finding(shard):
    tally = Tally(
        shard.images,
        {"node_by_node": {"a": CodeCount(5, 1, 2)}},
        {"a": RealSums(0.1, 1 / 3, 2e-300, float("inf"))},
        {"a": 3},
        {"integer": LogitSums(2, 1, 1, 0.1 + 0.2)},
        {"p": Range(-(2**40), 7)},
        Place("a", shard.start, shard.stop, 4),
    )
    return Finding(shard, (tally,), {"p": Overflow(1, 2, 3)}, {"w": 4})


def test_what_is_added_is_there_for_the_next(tmp_path):
    kept = Kept(tmp_path, "key", SHARDS)
    assert kept.findings == {}
    for shard in SHARDS:
        kept.add(finding(shard))
    assert str(kept) == "2 of 2 shards"
    assert sorted(path.name for path in (tmp_path / "key").iterdir()) == ["0-2.json", "2-3.json"]
    assert Kept(tmp_path, "key", SHARDS).findings == {shard: finding(shard) for shard in SHARDS}
    assert Kept(tmp_path, "other", SHARDS).findings == {}
    assert str(Kept(tmp_path, "key", [Shard(0, 1), Shard(2, 3)])) == "1 of 2 shards"
    kept.forget()
    assert not (tmp_path / "key").exists()
    kept.forget()


def _altered(text):
    found = json.loads(text)
    found["finding"]["tallies"][0]["images"] += 1
    return json.dumps(found)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "null",
        lambda text: "[]",
        lambda text: "{}",
        lambda text: '{"sha256": 1, "finding": []}',
        lambda text: "[" * 100000,
        lambda text: text.replace("5", "\udcff", 1),
        _altered,
    ],
)
def test_a_file_that_was_cut_short_or_altered_is_not_there(tmp_path, spoil):
    kept = Kept(tmp_path, "key", SHARDS)
    kept.add(finding(SHARDS[0]))
    file = tmp_path / "key" / "0-2.json"
    file.write_bytes(spoil(file.read_text()).encode("utf-8", "surrogateescape"))
    assert Kept(tmp_path, "key", SHARDS).findings == {}


def test_a_file_of_another_shard_is_not_there(tmp_path):
    kept = Kept(tmp_path, "key", SHARDS)
    kept.add(finding(SHARDS[0]))
    (tmp_path / "key" / "0-2.json").rename(tmp_path / "key" / "2-3.json")
    assert Kept(tmp_path, "key", SHARDS).findings == {}


def test_a_place_that_cannot_hold_them_is_refused(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadFile, match="which is no folder; choose another place"):
        Kept(tmp_path / "file", "key", SHARDS)


def test_the_usual_folder_is_in_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "hwsim" / "verify"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    assert default_folder() == tmp_path / "home" / ".cache" / "hwsim" / "verify"
