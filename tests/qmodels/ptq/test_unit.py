import pytest
import torch
import torch.nn.functional as F

from hwsim.errors import HwsimError
from qmodels.ptq.unit import Unit


def unit_of(job, index):
    """The unit `index`, the units before it as they are."""
    streams = dict.fromkeys(("float", "quantized"), job._images())
    for k in range(index):
        target, behind = job._next(), job._next()
        job._through(job.teacher, k, streams["float"], target)
        job._through(job.student, k, streams["quantized"], behind)
        streams = {"float": target, "quantized": behind}
    target = job._next()
    job._through(job.teacher, index, streams["float"], target)
    return job._unit(0, index, streams, target)


def images_of(job):
    return torch.cat(list(job.images))


def test_a_unit_knows_its_parts(job):
    unit = unit_of(job, 2)
    assert isinstance(unit, Unit)
    assert unit.name == "blocks.1"
    assert [site.path for site in unit.sites] == [
        f"blocks.1.{part}" for part in ("attn.qkv", "attn.qk", "attn.av", "attn.proj", "mlp.fc1", "mlp.fc2")
    ]
    assert [path for path, _ in unit.quantizers] == [
        "blocks.1.attn.qkv.input_quantizer",
        *("blocks.1.attn.qk.a_quantizer", "blocks.1.attn.qk.b_quantizer"),
        *("blocks.1.attn.av.a_quantizer", "blocks.1.attn.av.b_quantizer"),
        *("blocks.1.attn.proj.input_quantizer", "blocks.1.mlp.fc1.input_quantizer", "blocks.1.mlp.fc2.input_quantizer"),
    ]
    assert unit.sources["blocks.1.attn.qkv.input_quantizer"].norm == "blocks.1.norm1"
    assert unit.sources["blocks.1.mlp.fc2.input_quantizer"].norm == ""


def test_what_it_captures_is_what_the_whole_model_has_there(job):
    unit = unit_of(job, 2)
    seen = {}
    for site in unit.sites:
        module = job.teacher.get_submodule(site.path)
        module.register_forward_hook(lambda m, i, o, path=site.path: seen.update({path: (i, o)}))
    with torch.no_grad():
        job.teacher(images_of(job)[:4])
    for site in unit.sites:
        got = unit.captured(site.path, "float", 4)
        inputs, output = seen[site.path]
        assert torch.equal(got.output, output)
        assert all(torch.equal(a, b) for a, b in zip(got.inputs, inputs, strict=True))
        operands = site.values(got.inputs)
        assert torch.allclose(site.product(*operands), output, atol=1e-5)


def test_targets_and_batches_cover_all_images(job):
    unit = unit_of(job, 1)
    assert [len(part) for part in unit.batches("float")] == [4, 2]
    assert [len(part) for part in unit.targets()] == [4, 2]
    with torch.no_grad():
        value = job.partial.run(job.teacher, 1, torch.cat(list(unit.batches("float"))))
    assert torch.allclose(torch.cat(list(unit.targets())), value, atol=1e-6)


def test_a_visit_sees_what_calibrated_quantizers_let_through(job):
    unit, seen = unit_of(job, 1), {}

    def action(path, quantizer, x):
        seen[path] = x
        quantizer.set_grid(torch.tensor([0.5]), torch.tensor([8.0]))

    unit.visit("quantized", action)
    assert list(seen) == [path for path, _ in unit.quantizers]
    # what enters fc2 has passed the quantizers of the whole block: run again, all of them in use
    again = unit.captured("blocks.0.mlp.fc2", "quantized").inputs[0]
    assert torch.allclose(again, seen["blocks.0.mlp.fc2.input_quantizer"], atol=1e-5)
    untouched = unit.captured("blocks.0.mlp.fc2", "float").inputs[0]
    assert not torch.allclose(untouched, again, atol=1e-2)


def test_a_visit_of_the_float_stream_sees_the_float_model(job):
    unit, seen = unit_of(job, 1), {}

    def action(path, quantizer, x):
        seen[path] = x
        quantizer.set_grid(torch.tensor([0.5]), torch.tensor([8.0]))

    unit.visit("float", action)
    wanted = unit.captured("blocks.0.mlp.fc2", "float").inputs[0]
    assert torch.allclose(seen["blocks.0.mlp.fc2.input_quantizer"], wanted, atol=1e-5)


def test_gradients_are_those_of_the_whole_model(job):
    unit, images = unit_of(job, 2), images_of(job)
    kept = {}

    def keep(module, inputs, output):
        output.retain_grad()
        kept["fc1"] = output

    job.teacher.get_submodule("blocks.1.mlp.fc1").register_forward_hook(keep)
    draw = torch.Generator().manual_seed(0)
    wanted = []
    for part in images.split(4):
        logits = job.teacher(part.requires_grad_())
        labels = torch.multinomial(logits.detach().softmax(1), 1, generator=draw).flatten()
        F.cross_entropy(logits, labels, reduction="sum").backward()
        wanted.append(kept["fc1"].grad)
    got = unit.gradients("blocks.1.mlp.fc1")
    assert torch.allclose(got, torch.cat(wanted), atol=1e-6)
    assert got.abs().max() > 1e-6


def test_gradients_of_what_is_not_finite_are_refused(job):
    unit = unit_of(job, 2)
    job.teacher.head.bias.data[3] = float("inf")
    with pytest.raises(HwsimError) as caught:
        unit.gradients("blocks.1.mlp.fc1")
    assert str(caught.value) == (
        "blocks.1: predictions of the float model must be finite, got inf; check images and weights"
    )


def test_gradients_flow_through_a_run(job):
    unit = unit_of(job, 1)
    weight = job.student.get_submodule("blocks.0.mlp.fc1").weight.requires_grad_()
    unit.run(next(unit.batches("quantized"))).sum().backward()
    assert weight.grad.abs().max() > 0


def test_calls_are_of_all_images_batch_by_batch_and_run_no_further(job):
    unit, path = unit_of(job, 2), "blocks.1.attn.proj"
    ran = []
    job.student.get_submodule("blocks.1.mlp.fc1").register_forward_hook(lambda *given: ran.append(given))
    for stream in ("float", "quantized"):
        calls = list(unit.calls(path, stream))
        assert [len(call.output) for call in calls] == [4, 2]
        whole = unit.captured(path, stream, 6)
        assert torch.allclose(torch.cat([call.output for call in calls]), whole.output, atol=1e-6)
        assert torch.allclose(torch.cat([call.inputs[0] for call in calls]), whole.inputs[0], atol=1e-6)
    assert len(ran) == 2  # of the last `captured`, in the student


def test_watching_the_student_sees_what_was_done_to_the_sites_before(job):
    unit, seen = unit_of(job, 1), {}

    def action(site, inputs):
        seen[site.path] = inputs
        site.operands[0][1].set_grid(torch.tensor([0.5]), torch.tensor([8.0]))

    unit.watch("quantized", action)
    assert list(seen) == [site.path for site in unit.sites]
    for path, inputs in seen.items():
        again = unit.captured(path, "quantized").inputs
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(inputs, again, strict=True))
