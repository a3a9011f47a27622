"""A suite that is stopped goes on where it was, and gives what it would have given."""

import fcntl

import pytest

from hwsim.errors import BadFile
from hwsim.record import read_folder, read_records, write_records
from qmodels import checkpoint, suite
from workloads.suites import Run, Suite

CHANGES = (("epochs", "2"), ("images", "96"), ("batch", "48"), ("validate", "0"))
LIMIT = 12


def run(label, details=False, **changes):
    return Run(label, "digits_deit_w2a2", "lsq", "deployable", tuple({**dict(CHANGES), **changes}.items()), 0, details)


SUITE = Suite("small", "", (run("LSQ"), run("LSQ + IRM", True, irm="layernorm")))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    told = []
    names = [r.name for r, _ in suite.train(SUITE, folder, limit=LIMIT, progress=told.append)]
    return folder, names, told


def test_each_run_is_a_file_of_records(whole):
    folder, names, told = whole
    assert names == ["w2a2-lsq-seed0", "w2a2-lsq-irm-seed0"]
    assert [(p.run, p.done, p.runs, p.step, p.steps) for p in told[::4]] == [
        (names[0], 0, 2, 1, 4),
        (names[1], 1, 2, 1, 4),
    ]
    found = suite.finished(SUITE, folder)
    assert list(found) == names
    assert set(read_folder(folder)) == {record for records in found.values() for record in records}
    plain, detailed = ({r.metric for r in found[name]} for name in names)
    assert detailed - plain == {"histogram", "code_share", "attention_share", "pixel"}
    assert plain >= {
        "run",
        "run_accuracy",
        "run_kl_divergence",
        "run_agreement",
        "run_loss",
        "run_seconds",
        "oscillating",
    }
    assert plain >= {"code_entropy", "map_distance", "head_distance", "scale"}
    assert {r.tag("place") for r in found[names[1]]} == {"1"}
    assert {(r.workload, r.tag("label"), r.tag("seed")) for r in found[names[1]]} == {
        ("digits_deit_w2a2", "LSQ + IRM", "0")
    }


def test_accuracies_are_those_of_the_checkpoint(whole):
    folder, (name, _), _ = whole
    rows = read_records(folder / f"{name}.jsonl")
    records = {(r.metric, r.tag("split")): r.value for r in rows}
    said = checkpoint.read(folder / "checkpoints" / f"{name}.safetensors")[1]
    assert f"{records['run_accuracy', 'validation']:.6f}" == said["validation_accuracy"]
    assert 0 <= records["run_accuracy", "test"] <= 1
    assert records["run_kl_divergence", ""] > 0
    assert records["run_accuracy", "integer"] == pytest.approx(records["run_accuracy", "test"], abs=1e-5)


def test_the_integers_of_each_run_are_those_of_its_model(whole):
    folder, names, _ = whole
    for name in names:
        rows = read_records(folder / f"{name}.jsonl")
        compared, differ = (
            {r.tag("mode"): r.value for r in rows if r.metric == f"run_{x}"} for x in ("codes", "mismatches")
        )
        assert set(compared) == {"node_by_node", "free_running"}
        assert min(compared.values()) > LIMIT * 10_000
        assert set(differ.values()) == {0}


def test_a_run_in_another_process_hands_is_passed_over(tmp_path):
    first, second = (run(label, epochs="1") for label in ("LSQ", "LSQ again"))
    suite_of_two = Suite("two", "", (first, second))
    (tmp_path / "checkpoints").mkdir()
    with (tmp_path / "checkpoints" / f"{first.name}.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert [r.name for r, _ in suite.train(suite_of_two, tmp_path, limit=LIMIT)] == [second.name]
    assert [r.name for r, _ in suite.train(suite_of_two, tmp_path, limit=LIMIT)] == [first.name]


def test_shares_add_up(whole):
    folder, (_, name), _ = whole
    for metric, tags in (
        ("histogram", ("operand", "stage")),
        ("code_share", ("operand",)),
        ("attention_share", ("image",)),
    ):
        sums = {}
        for r in read_records(folder / f"{name}.jsonl"):
            if r.metric == metric:
                key = tuple(r.tag(tag) for tag in tags)
                sums[key] = sums.get(key, 0) + r.value
        assert len(sums) >= 1
        for total in sums.values():
            assert 0 < total <= 1 + 1e-4 if metric == "attention_share" else total == pytest.approx(1, abs=1e-4)


class _Stopped(BaseException):
    pass


def test_what_was_stopped_goes_on_to_the_same_weights(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(suite, "EVERY", 1)

    def stop(p):
        if (p.done, p.step) == (1, 3):
            raise _Stopped

    with pytest.raises(_Stopped):
        list(suite.train(SUITE, tmp_path, limit=LIMIT, progress=stop))
    assert list(suite.finished(SUITE, tmp_path)) == ["w2a2-lsq-seed0"]
    told = []
    left = [r.name for r, _ in suite.train(SUITE, tmp_path, limit=LIMIT, progress=told.append)]
    assert left == ["w2a2-lsq-irm-seed0"]
    assert [p.step for p in told] == [3, 4]
    digests = [checkpoint.read(f / "checkpoints" / f"{left[0]}.safetensors")[1]["sha256"] for f in (whole[0], tmp_path)]
    assert digests[0] == digests[1]
    kept = [[r for r in suite.finished(SUITE, f)[left[0]] if r.metric != "run_seconds"] for f in (whole[0], tmp_path)]
    assert kept[0] == kept[1]
    assert not list(suite.train(SUITE, tmp_path, limit=LIMIT))


def test_what_was_killed_before_its_records_is_not_trained_again(tmp_path, monkeypatch):
    alone = Suite("one", "", (run("LSQ", epochs="1", images="48"),))
    with monkeypatch.context() as patched:
        patched.setattr(suite, "verify", lambda *_arguments, **_more: (_ for _ in ()).throw(_Stopped()))
        with pytest.raises(_Stopped):
            list(suite.train(alone, tmp_path, limit=LIMIT))
    told = []
    ((done, records),) = suite.train(alone, tmp_path, limit=LIMIT, progress=told.append)
    assert told == []
    assert {"run_loss", "run_seconds", "oscillating"} <= {r.metric for r in records}
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        f"{done.name}.{end}" for end in ("lock", "log.jsonl", "safetensors")
    ]


def test_a_file_of_other_settings_is_refused(whole, tmp_path):
    records = suite.finished(SUITE, whole[0])["w2a2-lsq-seed0"]
    path = tmp_path / "w2a2-lsq-seed0.jsonl"
    write_records(records, path)
    other = Suite("small", "", (run("LSQ", lr="0.01"),))
    wanted, made = other.runs[0].command(), SUITE.runs[0].command()
    with pytest.raises(BadFile) as caught:
        list(suite.train(other, tmp_path))
    said = (
        f"{path}: must be made by `{wanted}`, got `{made}`; remove it to train the run again, or choose another --out"
    )
    assert str(caught.value) == said
    write_records(records[1:], path)
    with pytest.raises(BadFile, match=r"got ``; remove it to train the run again"):
        suite.finished(other, tmp_path)


def test_a_folder_without_records_is_refused(tmp_path):
    with pytest.raises(BadFile) as caught:
        read_folder(tmp_path)
    said = f"{tmp_path}: must hold files of records (*.jsonl), got none; make them with `hwsim train --suite NAME`"
    assert str(caught.value) == said
