"""Methods side by side: one file per run, resumed, shared by processes, with the same images and the same judge for all."""

import dataclasses
import fcntl
from types import SimpleNamespace

import pytest
import torch

import workloads
from hwsim.errors import BadFile, HwsimError
from hwsim.record import read_folder, read_records, write_records
from qmodels import builder, checkpoint, data, models, ptq, reconstruction_study, side_by_side
from qmodels.calibrate import calibrate as in_one_pass
from qmodels.contest import FLOAT, STUDY, Comparison, Run, judging, reasons
from qmodels.evaluation import accuracy
from qmodels.peak_memory import Peak
from qmodels.side_by_side import compare, finished
from workloads.bits import Bits

MODEL = workloads.find("digits_deit_w32a32")
W8A8, W3A3 = Bits(8, 8), Bits(3, 3)
COMPARISON = Comparison(MODEL, ("ptq_minmax", "ptq_mse"), (W8A8, W3A3), (0,), images=4, limit=12, integer_images=3)
NAMES = (FLOAT, STUDY, *(f"{b}-{m}-seed0" for b in ("w8a8", "w3a3") for m in COMPARISON.methods))


@pytest.fixture(autouse=True, scope="module")
def quick():
    """A study of one quantizer per place, at one width."""
    with pytest.MonkeyPatch.context() as patch:
        few = {place: rivals[:1] for place, rivals in reconstruction_study.RIVALS.items()}
        patch.setattr(reconstruction_study, "RIVALS", few)
        patch.setattr(reconstruction_study, "BITS", (4,))
        yield


def stand_in(calls):
    """A calibration of the other kind, scales by least squared error in one pass, with the face of `ptq.calibrate`."""

    def calibrate(workload, *, out, method, changes, images, seed, teacher, root, resume, progress):
        calls.append((workload.name, method, images, seed, teacher, root, resume, changes))
        model = checkpoint.empty(workload)
        model.load_state_dict(builder.build("digits_float").state_dict(), strict=False)
        for module in model.modules():
            if hasattr(module, "weight_quantizer"):
                module.weight_quantizer.initialise(module.weight)
        progress(SimpleNamespace(share=0.5, unit="blocks.0"))
        in_one_pass(model, data.load(workload, "train", limit=images)[0])
        checkpoint.save(model, workload.name, out)
        return SimpleNamespace(seconds=1.234, peak=Peak(before=2 * 10**8, bytes=3 * 10**8))

    return calibrate


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder, calls, told = tmp_path_factory.mktemp("whole"), [], []
    names = [n for n, _ in compare(COMPARISON, folder, calibrate=stand_in(calls), progress=told.append)]
    return folder, names, calls, told


def values(records, metric):
    return {r.tag("split") or r.tag("mode") or r.node: r.value for r in records if r.metric == metric}


def test_each_run_is_a_file_of_records(whole):
    folder, names, calls, told = whole
    assert tuple(names) == COMPARISON.names == NAMES
    assert [call[:4] for call in calls] == [
        (f"digits_deit_{r.bits.name}_{r.method}", r.method, 4, 0) for r in COMPARISON.runs
    ]
    assert [call[4:] for call in calls] == [(None, None, True, {})] * 4
    found = finished(COMPARISON, folder)
    assert tuple(found) == NAMES
    assert sorted(read_folder(folder), key=str) == sorted((r for rows in found.values() for r in rows), key=str)
    for run in COMPARISON.runs:
        rows = found[run.name]
        assert {(r.tag("label"), r.tag("wbits"), r.tag("seed")) for r in rows} == {
            (run.method, str(run.bits.weights), "0")
        }
        assert {r.workload for r in rows} == {f"digits_deit_{run.bits.name}_{run.method}"}
        assert values(rows, "method_seconds") == {"": 1.23}
        assert values(rows, "method_peak") == {"": 3 * 10**8}
        assert values(rows, "method_mismatches") == {"node_by_node": 0, "free_running": 0}
        assert set(values(rows, "method_unit")) == {"row sums", "column sums"}
    assert {(p.done, p.files) for p in told if p.name == NAMES[3]} == {(3, 6)}
    assert [(p.share, p.note) for p in told if p.name == NAMES[3]] == [
        (0.0, ""),
        (0.5, "calibrating, blocks.0"),
        (1.0, "judging"),
    ]


def test_what_is_judged_is_the_checkpoint_on_the_test_images(whole):
    folder = whole[0]
    model, workload = checkpoint.load(folder / "checkpoints" / "w3a3-ptq_mse-seed0.safetensors")
    images, labels = data.load(workload, "test", limit=12)
    found = values(read_records(folder / "w3a3-ptq_mse-seed0.jsonl"), "method_accuracy")
    model, images = model.double(), images.double()
    assert found["test"] == pytest.approx(accuracy(model, images, labels))
    assert found["integer"] == pytest.approx(accuracy(model, images[::4], labels[::4]))


def test_the_float_model_heads_them_and_quantizers_stand_alone(whole):
    floating, alone = (read_records(whole[0] / f"{name}.jsonl") for name in (FLOAT, STUDY))
    assert {(r.tag("label"), r.tag("wbits")) for r in floating} == {("float", "32")}
    assert values(floating, "method_kl_divergence")[""] == pytest.approx(0, abs=1e-9)
    assert values(floating, "method_size")[""] == 470_632
    assert {r.metric for r in alone} == {"run", "reconstruction_error"}
    assert {(r.tag("images"), r.tag("seed")) for r in alone if r.metric != "run"} == {("4", "0")}


class _Stopped(BaseException):
    pass


def test_what_was_stopped_goes_on(whole, tmp_path):
    def stop(p):
        if (p.name, p.share) == (NAMES[5], 0.5):
            raise _Stopped

    calls = []
    for name in NAMES[1:4]:
        write_records(finished(COMPARISON, whole[0])[name], tmp_path / f"{name}.jsonl")
    with pytest.raises(_Stopped):
        list(compare(COMPARISON, tmp_path, calibrate=stand_in(calls), progress=stop))
    assert tuple(finished(COMPARISON, tmp_path)) == NAMES[:5]
    assert [n for n, _ in compare(COMPARISON, tmp_path, calibrate=stand_in(calls))] == [NAMES[5]]
    assert [call[1] for call in calls] == ["ptq_minmax", "ptq_mse", "ptq_mse"]  # the one that was stopped, twice
    unlike = ("method_seconds", "method_peak")
    for name in NAMES:
        first, second = (finished(COMPARISON, folder)[name] for folder in (whole[0], tmp_path))
        assert [r for r in first if r.metric not in unlike] == [r for r in second if r.metric not in unlike]
    assert not list(compare(COMPARISON, tmp_path, calibrate=stand_in(calls)))


def test_a_run_in_another_process_hands_is_passed_over(whole, tmp_path):
    for name in (*NAMES[:3], NAMES[4]):
        write_records(finished(COMPARISON, whole[0])[name], tmp_path / f"{name}.jsonl")
    (tmp_path / "checkpoints").mkdir()
    with (tmp_path / "checkpoints" / f"{NAMES[3]}.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert [n for n, _ in compare(COMPARISON, tmp_path, calibrate=stand_in([]))] == [NAMES[5]]
    assert not (tmp_path / f"{NAMES[3]}.jsonl").exists()


@pytest.mark.parametrize("changes", [{"images": 5}, {"limit": 11}, {"integer_images": None}, {"teacher": "random"}])
def test_a_folder_has_one_setting(whole, changes):
    other = dataclasses.replace(COMPARISON, **changes)
    path, command = whole[0] / "float.jsonl", COMPARISON.command()
    with pytest.raises(BadFile) as caught:
        next(compare(other, whole[0]))
    assert str(caught.value) == (
        f"{path}: must be made by `{other.command()}`, got `{command}`; remove it to make it again, or choose another --out"
    )


def test_a_run_that_was_begun_with_other_settings_is_told_how_to_go_on(whole, tmp_path):
    for name in NAMES[:2]:
        write_records(finished(COMPARISON, whole[0])[name], tmp_path / f"{name}.jsonl")
    path = tmp_path / "checkpoints" / f"{NAMES[2]}.safetensors.state"

    def calibrate(workload, **given):
        raise BadFile(f"{path}: rate must be 2 to go on, got 1; leave out --resume")

    with pytest.raises(BadFile) as caught:
        next(compare(COMPARISON, tmp_path, calibrate=calibrate))
    assert str(caught.value) == f"{path}: rate must be 2 to go on, got 1; compare as it was begun, or remove {path}"


def test_further_methods_join_a_folder(whole):
    more = dataclasses.replace(COMPARISON, methods=(*COMPARISON.methods, "ptq_percentile"), bits=(W3A3,))
    assert tuple(finished(more, whole[0])) == (FLOAT, STUDY, *NAMES[4:])
    assert [run.name for run in more.runs if run.name not in NAMES] == ["w3a3-ptq_percentile-seed0"]


def test_the_command_is_told_whole():
    full = dataclasses.replace(COMPARISON, teacher="t.safetensors", root="d")
    assert full.command(Run("ptq_mse", Bits(4, 8), 2)) == (
        "hwsim compare --workload digits_deit --methods ptq_mse --bits w4a8 --seeds 2 --images 4 --teacher t.safetensors "
        "--data d --limit 12 --integer-images 3"
    )


def test_a_method_may_be_changed(whole, tmp_path):
    for name in NAMES[:2]:
        write_records(finished(COMPARISON, whole[0])[name], tmp_path / f"{name}.jsonl")
    changed = dataclasses.replace(
        COMPARISON, methods=("ptq_minmax", "isvit"), bits=(W3A3,), changes=(("isvit.reconstruct.iterations", "7"),)
    )
    assert [changed.command(run).partition("--limit 12 --integer-images 3")[2] for run in changed.runs] == [
        "",
        " --set isvit.reconstruct.iterations=7",
    ]
    assert changed.command() == COMPARISON.command()
    calls = []
    records = dict(compare(changed, tmp_path, calibrate=stand_in(calls)))
    assert [call[-1] for call in calls] == [{}, {"reconstruct.iterations": "7"}]
    said = {name: {r.tag("changes") for r in rows} for name, rows in records.items()}
    assert {name for name, found in said.items() if found == {"reconstruct.iterations=7"}} == {"w3a3-isvit-seed0"}
    with pytest.raises(BadFile) as caught:
        finished(dataclasses.replace(changed, seeds=(5,), changes=()), tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'w3a3-isvit-seed0.jsonl'}: must be of isvit with its own settings, got reconstruct.iterations=7; "
        "give the same --set, or choose another --out"
    )


def test_runs_stand_seed_by_seed():
    three = dataclasses.replace(COMPARISON, seeds=(0, 2))
    assert [run.name for run in three.runs][::3] == [
        "w8a8-ptq_minmax-seed0",
        "w3a3-ptq_mse-seed0",
        "w3a3-ptq_minmax-seed2",
    ]


@pytest.fixture
def narrow(monkeypatch):
    """ptq_mse defines no bits below 4."""
    made = models.quantize

    def quantize(model, bits, method, **more):
        name = method if isinstance(method, str) else method.name
        if name == "ptq_mse" and bits.weights < 4:
            raise HwsimError(f"bits: must be 4 or more, got {bits.weights}; choose others")
        return made(model, bits, method, **more)

    monkeypatch.setattr(models, "quantize", quantize)


def test_a_method_without_the_width_says_so_and_the_others_go_on(narrow, tmp_path):
    comparison = dataclasses.replace(COMPARISON, bits=(W3A3,))
    why = "ptq_mse: W3A3: bits: must be 4 or more, got 3; choose others"
    assert reasons(comparison) == {("ptq_mse", W3A3): why}
    records = dict(compare(comparison, tmp_path, calibrate=stand_in([])))
    assert [(r.metric, r.value) for r in records["w3a3-ptq_mse-seed0"]][1:] == [("method_undefined", why)]
    assert values(records["w3a3-ptq_minmax-seed0"], "method_accuracy")
    with pytest.raises(HwsimError, match=r"^ptq_mse: W3A3: bits: must be 4 or more, got 3; choose others$"):
        next(compare(dataclasses.replace(comparison, methods=("ptq_mse",)), tmp_path))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"methods": ()}, "methods: at least one must be given, got none; see `hwsim compare --help`"),
        ({"seeds": (1, 1)}, "seeds: each must be given once, got 1 twice; leave one out"),
        ({"seeds": (0, 2**31)}, "seeds: must be 0..2147483647, got 2147483648; give smaller ones"),
        ({"bits": (Bits(32, 32),)}, "bits: must be 8 or less on one side, got W32A32; the float model is there anyway"),
        (
            {"methods": ("lsq",)},
            "lsq: a method to compare must be a post-training one, got one that is trained; use `hwsim train --method lsq`, "
            "or one of ",
        ),
        (
            {"changes": (("isvit.reconstruct.rate", "1"),)},
            "--set: must read METHOD.KEY=VALUE, METHOD one of ptq_minmax, ptq_mse, got isvit.reconstruct.rate=1",
        ),
        (
            {"changes": (("ptq_mse.ranges.rate", "1"),)},
            "ptq_mse: ranges: unknown name, got 'rate'",
        ),
        ({"methods": ("ptq_minmx",)}, "method: unknown name, got 'ptq_minmx'; known, nearest first: ptq_minmax, "),
    ],
)
def test_what_cannot_be_compared(changes, said):
    with pytest.raises(HwsimError) as caught:
        dataclasses.replace(COMPARISON, **changes)
    assert str(caught.value).startswith(said)


def test_calibrations_are_those_of_the_engine(tmp_path):
    """Without a stand-in, the checkpoint is what `ptq.calibrate` writes with the same settings."""
    comparison = dataclasses.replace(COMPARISON, methods=("ptq_minmax",), bits=(W3A3,), seeds=(1,))
    (*_, (name, records)) = compare(comparison, tmp_path)
    assert name == "w3a3-ptq_minmax-seed1"
    ptq.calibrate("digits_deit_w3a3_ptq_minmax", out=tmp_path / "own.safetensors", images=4, seed=1)
    own, made = (
        checkpoint.read(p)[0] for p in (tmp_path / "own.safetensors", tmp_path / "checkpoints" / f"{name}.safetensors")
    )
    assert own.keys() == made.keys()
    assert all(torch.equal(own[key], made[key]) for key in own)
    assert values(records, "method_mismatches") == {"node_by_node": 0, "free_running": 0}


def test_images_without_a_test_split_are_judged_by_the_validation(monkeypatch):
    known = [("train", "validation", "test")]
    monkeypatch.setattr(side_by_side.data, "splits", lambda workload, root=None: known[-1])
    assert judging(MODEL, None) == "test"
    known.append(("train", "validation"))
    assert judging(MODEL, None) == "validation"
    known.append(("train",))
    assert judging(MODEL, None) == "test"  # which says what is missing
