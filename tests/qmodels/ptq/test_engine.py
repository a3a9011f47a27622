import dataclasses
import json
import os

import pytest
import torch

from hwsim.errors import BadFile, HwsimError, IllegalModel, UnknownName
from hwsim.tensors import read_tensors, write_tensors
from qmodels import checkpoint, data, identity, models, ptq
from qmodels.calibrate import calibrate
from qmodels.evidence import trace_model
from qmodels.ptq import images as chosen_images
from qmodels.ptq import settings, state, weights
from qmodels.quantizer import Quantizer
from qmodels.step import Step
from qmodels.verification import verify
from tests.qmodels.ptq.conftest import PLAIN

WORKLOAD = "digits_deit_w4a4"


class Stop(Exception):
    pass


def run(out, **more):
    return ptq.calibrate(WORKLOAD, out=out, method="plain", **{"images": 12, "batch": 8, **more})


def test_it_finds_the_grids_that_a_pass_over_the_whole_model_finds(method_of, tmp_path):
    method = method_of(PLAIN)
    outcome = run(tmp_path / "a", batch=12)
    chosen = settings.resolve(WORKLOAD, method="plain", images=12)
    indices = chosen_images.choose(data.batches(chosen.workload, "train"), chosen).indices
    images = data.load(chosen.workload, "train")[0][list(indices)]
    model = weights.student(chosen.workload, method, weights.twin(chosen.workload, method, None), {})
    for module in model.modules():
        if hasattr(module, "weight_quantizer"):
            module.weight_quantizer.initialise(module.weight)
    calibrate(model, images)
    wanted, got = model.state_dict(), outcome.model.state_dict()
    # the engine quantizes activations of a unit before its weights, so units one after the other agree in the first alone
    first = [name for name in wanted if name.startswith("patch_embed") and "quantizer" in name]
    assert len(first) == 4
    for name in first:
        assert torch.equal(wanted[name], got[name])


def test_its_checkpoint_loads_and_its_integers_are_exact(method_of, tmp_path):
    method = method_of(PLAIN)
    out = tmp_path / "a.safetensors"
    outcome = run(out)
    model, workload = checkpoint.load(out)
    assert workload.name == "digits_deit_w4a4_plain"
    report = verify(model, trace_model(model, workload), *data.load(workload, "test", limit=8))
    assert report.mismatched("node_by_node") == report.mismatched("free_running") == 0
    assert report.compared("free_running") > 100_000
    assert sorted(os.listdir(tmp_path)) == ["a.safetensors"]
    assert all(module.calibrated for module in outcome.model.modules() if isinstance(module, Quantizer))
    said = checkpoint.read(out)[1]
    assert said["images"] == "12"
    made = json.loads(said["calibration"])
    assert {key: made[key] for key in ("images", "sample", "batch", "seed", "units")} == {
        "images": "12",
        "sample": "12",
        "batch": "8",
        "seed": "0",
        "units": "6",
    }
    assert made["ranges.stream"] == "quantized"
    assert made["teacher"] == identity.digest(weights.twin(workload, method, None))


def test_what_others_keep_beside_the_checkpoint_stays(method_of, tmp_path):
    method_of(PLAIN)
    (tmp_path / "a.work").mkdir()
    (tmp_path / "a.lock").write_text("mine")
    run(tmp_path / "a")
    assert sorted(os.listdir(tmp_path)) == ["a", "a.lock", "a.work"]
    assert (tmp_path / "a.lock").read_text() == "mine"


def test_two_at_once_on_one_file_are_refused(method_of, tmp_path):
    method_of(PLAIN)
    with (
        state.claimed(tmp_path / "new" / "a"),
        state.claimed(tmp_path / "b"),
        pytest.raises(
            HwsimError, match=r"a: must be written by one calibration at a time, got another that is under way; "
        ),
    ):
        run(tmp_path / "new" / "a")
    with state.claimed(tmp_path / "b"):
        assert os.listdir(tmp_path / "new") == []
    (tmp_path / "b.state").mkdir()
    with pytest.raises(BadFile, match=r"b: cannot be written, got a folder at \S+b\.state, where the state goes; "):
        run(tmp_path / "b")
    assert sorted(os.listdir(tmp_path)) == ["b.state", "new"]


def test_a_quantizer_that_no_step_knows_is_named_at_the_first_unit(method_of, tmp_path):
    own = dataclasses.replace(PLAIN.stages[0][0], weights=None)
    method_of(dataclasses.replace(PLAIN, stages=((own,),)))
    told = []
    with pytest.raises(HwsimError) as caught:
        run(tmp_path / "a", progress=told.append)
    assert str(caught.value) == (
        "patch_embed.proj.weight_quantizer: must get its grid from a step of plain, got none from ranges; leave out --set "
        "that changes this quantizer, or choose another method"
    )
    assert {p.unit for p in told} == {"patch_embed"}
    assert os.listdir(tmp_path) == []


def test_a_quantizer_that_nothing_runs_is_named_before_the_work(method_of, tmp_path, monkeypatch):
    method_of(PLAIN)
    made = weights.student

    def idle(*given):
        model = made(*given)
        model.idle = models.quantizer.make("uniform", 4, signed=False, axis=None, size=1)
        return model

    monkeypatch.setattr(weights, "student", idle)
    with pytest.raises(IllegalModel, match=r"^idle: must be run by the model for a calibration to find its grid, got "):
        run(tmp_path / "a")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("share", [0.2, 0.6])
def test_what_was_stopped_goes_on_to_the_same_bytes(method_of, tmp_path, share):
    method_of(PLAIN)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert not run(whole, resume=True).resumed

    def stop(p):
        if p.share > share:
            raise Stop

    with pytest.raises(Stop):
        run(stopped, progress=stop)
    assert sorted(os.listdir(tmp_path)) == ["stopped.state", "whole"]
    tensors, said = read_tensors(tmp_path / "stopped.state", state.FORMAT, "")
    said["place"] = json.dumps({**json.loads(said["place"]), "seconds": 1000.0})
    write_tensors(
        tensors,
        {key: text for key, text in said.items() if key != "sha256"},
        state.FORMAT,
        stopped.with_name("stopped.state"),
    )
    told = []
    outcome = run(stopped, resume=True, progress=told.append)
    assert outcome.resumed
    assert outcome.seconds > 1000  # of the process that was stopped, as the state says
    digests = [checkpoint.read(path)[0] for path in (whole, stopped)]
    assert digests[0].keys() == digests[1].keys()
    assert all(torch.equal(digests[0][name], digests[1][name]) for name in digests[0])
    assert sorted(os.listdir(tmp_path)) == ["stopped", "whole"]


def test_a_state_of_other_settings_or_images_is_refused(method_of, tmp_path, monkeypatch):
    method_of(PLAIN)

    def stop(p):
        if p.share > 0.5:
            raise Stop

    with pytest.raises(Stop):
        run(tmp_path / "a", progress=stop)
    with pytest.raises(
        BadFile, match=r"a\.state: seed must be 1 to go on, got 0 from the calibration that was begun; "
    ):
        run(tmp_path / "a", seed=1, resume=True)
    images, labels = data.digits("train")
    monkeypatch.setattr(data, "digits", lambda split: (images.flip(-1), labels))
    with pytest.raises(BadFile, match=r"a\.state: data must be \w{64} to go on, got \w{64} from the calibration "):
        run(tmp_path / "a", resume=True)


def test_a_form_that_a_step_changed_is_kept(method_of, tmp_path):
    method = method_of(PLAIN)
    chosen = settings.resolve(WORKLOAD, method="plain")
    made = weights.student(chosen.workload, method, None, {})
    attention = made.get_submodule("blocks.1.attn")
    attention.qkv.input_quantizer = models.quantizer.make("uniform", 3, signed=False, axis=-1, size=64)
    attention.qkv.input_quantizer.initialise(torch.randn(5, 7, 64))
    state.write(tmp_path / "s", {}, state.Place(1, 2, 3.0), made)
    again = weights.student(chosen.workload, method, None, {})
    assert state.read(tmp_path / "s", {}, again) == state.Place(1, 2, 3.0)
    old, new = attention.qkv.input_quantizer, again.get_submodule("blocks.1.attn.qkv.input_quantizer")
    assert (new.bits, new.axis, new.calibrated) == (3, -1, True)
    assert torch.equal(old.codes(torch.ones(1, 64)), new.codes(torch.ones(1, 64)))
    assert not again.get_submodule("blocks.0.attn.qkv.input_quantizer").calibrated


def test_other_seeds_choose_other_images(method_of, tmp_path):
    method_of(PLAIN)
    found = [
        chosen_images.choose(data.batches(s.workload, "train"), s).indices
        for s in (settings.resolve(WORKLOAD, method="plain", seed=seed) for seed in (0, 0, 1))
    ]
    assert found[0] == found[1] != found[2]
    assert len(set(found[0])) == 32


def test_images_that_are_not_finite_are_named(method_of, tmp_path, monkeypatch):
    method_of(PLAIN)
    images, labels = data.digits("train")
    images = images.clone()
    images[5, 0, 3, 3] = torch.nan
    monkeypatch.setattr(data, "digits", lambda split: (images, labels))
    with pytest.raises(HwsimError, match=r"^calibration image 5: values must be finite, got nan; mend or remove"):
        run(tmp_path / "a", images=1257)
    assert os.listdir(tmp_path) == []


def test_bad_wishes_get_one_line(method_of, tmp_path):
    method_of(PLAIN)
    for more, error, line in (
        (
            {"images": 1258},
            HwsimError,
            r"^digits_deit_w4a4_plain: images must be at most 1257, as many as the training ",
        ),
        (
            {"method": "lsq"},
            HwsimError,
            r"^lsq: a calibration must be of a post-training method, got one that is trained",
        ),
        (
            {"changes": {"range.x": "1"}},
            UnknownName,
            r"^plain: step: unknown name, got 'range'; known, .*: ranges$",
        ),
        (
            {"changes": {"ranges.x": "1"}},
            UnknownName,
            r"^plain: ranges: unknown name, got 'x'; known, .*: stream$",
        ),
        ({"changes": {"irn": "none"}}, UnknownName, r"^switch: unknown name, got 'irn'; known, nearest first: irm"),
    ):
        with pytest.raises(error, match=line):
            ptq.calibrate(WORKLOAD, out=tmp_path / "a", **{"method": "plain", **more})
    with pytest.raises(HwsimError, match=r"^digits_deit_w32a32: a calibration makes a quantized model, got 32 bits; "):
        ptq.calibrate("digits_deit_w32a32", out=tmp_path / "a", method="plain")
    settings_of = settings.resolve("deit_tiny_patch16_224_w4a4", method="plain")
    with pytest.raises(HwsimError, match=r"^deit_tiny_patch16_224_w4a4_plain: must start from the float weights of "):
        weights.twin(settings_of.workload, settings_of.method, None)
    assert os.listdir(tmp_path) == []


def test_an_error_of_a_step_names_the_quantizer(method_of, tmp_path):
    def refuse(x, quantizer):
        raise HwsimError("must not be, got x; leave")

    method_of(dataclasses.replace(PLAIN, stages=((dataclasses.replace(PLAIN.stages[0][0], activations=refuse),),)))
    with pytest.raises(HwsimError, match=r"^patch_embed\.proj\.input_quantizer: must not be, got x; leave$"):
        run(tmp_path / "a")


@dataclasses.dataclass(frozen=True)
class Nothing(Step):
    depth: int = 3
    share: float = 0.5
    quick: bool = False
    name = "nothing"

    def run(self, unit):
        """Nothing."""


def test_fields_of_steps_are_set_from_texts(method_of):
    method_of(dataclasses.replace(PLAIN, stages=(PLAIN.stages[0], (Nothing(), Nothing(depth=4)))))
    changes = {"nothing.depth": "7", "nothing.share": "1e-3", "nothing.quick": "true", "per_head": "true"}
    found = settings.resolve(WORKLOAD, method="plain", changes=changes).method
    assert found.stages[1] == (Nothing(7, 1e-3, True), Nothing(7, 1e-3, True))
    assert found.per_head
    with pytest.raises(HwsimError, match=r"^plain: nothing\.depth must be a whole number, got 'x'; pass --set "):
        settings.resolve(WORKLOAD, method="plain", changes={"nothing.depth": "x"})
    with pytest.raises(HwsimError, match=r"^plain: nothing\.quick must be true or false, got 'x'; pass --set "):
        settings.resolve(WORKLOAD, method="plain", changes={"nothing.quick": "x"})
