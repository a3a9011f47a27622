"""I&S-ViT: its stages do what they say, and its integers are those of its fake-quant model."""

import pytest
import torch

from hwsim.lower import integerize
from hwsim.lower.ranges import measure
from hwsim.lower.report import float_parts
from hwsim.simulator import as_codes, simulate
from qmodels import checkpoint, data, method, ptq
from qmodels.evidence import trace_model
from qmodels.quantizers.sulq import Sulq
from qmodels.quantizers.uniform import Uniform
from qmodels.tracing import INPUT
from qmodels.verification import verify

SHORT = {"reconstruct.iterations": "6", "reconstruct.rate": "1e-4"}


class Killed(Exception):
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("isvit")


@pytest.fixture(scope="module")
def calibrated(folder):
    made = {}

    def calibrate(bits):
        if bits not in made:
            made[bits] = run(folder / bits, bits)
        return made[bits]

    return calibrate


def run(out, bits="w4a4", **more):
    return ptq.calibrate(f"digits_deit_{bits}", method="isvit", out=out, changes=SHORT, images=16, **more)


def test_its_recipe_is_the_released_one():
    first, second, third = method.find("isvit").stages
    assert [[step.name for step in stage] for stage in (first, second, third)] == [
        ["channelwise", "ranges", "reconstruct"],
        ["reparametrize"],
        ["ranges", "reconstruct"],
    ]
    assert (first[2].stream, third[1].stream) == ("float", "quantized")
    for tuning in (first[2], third[1]):
        assert (tuning.iterations, tuning.rate, tuning.batch) == (1000, 4e-5, 64)
    assert (first[1].weights, third[0].activations) == (None, None)


@pytest.mark.parametrize("bits", [pytest.param("w4a4", marks=pytest.mark.slow), "w3a3"])
def test_its_integers_are_those_of_its_fake_quant_model(calibrated, bits):
    outcome = calibrated(bits)
    quantizers = [module for module in outcome.model.modules() if isinstance(module, Uniform) and module.batched]
    assert all(quantizer.axis is None for quantizer in quantizers)
    assert sum(isinstance(module, Sulq) for module in outcome.model.modules()) == 4
    images, labels = data.digits("test")
    report = verify(outcome.model, trace_model(outcome.model, outcome.workload), images[:12], labels[:12])
    for mode in ("node_by_node", "free_running"):
        assert report.mismatched(mode) == 0, report.first_diverging(mode)
        assert report.compared(mode) > 10**6
    assert report.agreeing == 12


def test_it_has_an_integer_form(calibrated):
    outcome = calibrated("w4a4")
    graph = trace_model(outcome.model, outcome.workload)
    feeds = {INPUT: data.digits("train")[0][:32].numpy()}
    integers = integerize(graph, "lut", measure(graph, feeds))
    assert float_parts(integers) == ()
    ours = simulate(integers, as_codes(integers, feeds))[integers.outputs[0]].argmax(1)
    with torch.no_grad():
        theirs = outcome.model.double()(data.digits("train")[0][:32].double()).argmax(1).numpy()
    outcome.model.float()
    assert (ours == theirs).mean() > 0.8


def test_every_unit_is_tuned_twice_and_comes_nearer(calibrated):
    notes = calibrated("w3a3").notes
    units = ("patch_embed", *(f"blocks.{i}" for i in range(4)), "head")
    when = ("before", "after")
    assert notes.keys() == {f"{stage}/{unit}/reconstruct_{w}" for stage in (1, 3) for unit in units for w in when}
    for stage in (1, 3):
        for unit in units[1:]:
            assert notes[f"{stage}/{unit}/reconstruct_after"] < notes[f"{stage}/{unit}/reconstruct_before"]


@pytest.mark.parametrize(
    "share", [pytest.param(0.28, marks=pytest.mark.slow), pytest.param(0.5, marks=pytest.mark.slow), 0.8]
)  # within each of the three stages
def test_what_was_stopped_goes_on_to_the_same_tensors(calibrated, folder, share):
    whole, out = calibrated("w4a4"), folder / f"stopped_{share}"

    def kill(p):
        if p.share > share:
            raise Killed

    with pytest.raises(Killed):
        run(out, progress=kill)
    again = run(out, resume=True)
    tensors = [checkpoint.read(path)[0] for path in (folder / "w4a4", out)]
    assert tensors[0].keys() == tensors[1].keys()
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
    assert again.notes == whole.notes
