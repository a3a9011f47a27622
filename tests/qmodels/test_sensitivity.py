"""What layers lose at other widths: losses against formulas, quantizers put in and taken out again, and what is refused."""

import math

import pytest
import torch
from torch import nn

from hwsim.errors import HwsimError, UnknownName
from qmodels import builder, data, models
from qmodels.evaluation import accuracy, logits
from qmodels.layers.quant_matmul import QuantMatMul
from qmodels.quantizers.binary import Binary
from qmodels.quantizers.lsq import Lsq
from qmodels.quantizers.lsq_plus import LsqPlus
from qmodels.sensitivity import at_widths, kl, layers_of, measure, mse, own_widths, whole
from workloads.bits import Bits

FC1, QK, AV = "blocks.1.mlp.fc1", "blocks.0.attn.qk", "blocks.0.attn.av"


@pytest.fixture(scope="module")
def model():
    return builder.build("digits_w8a8")


@pytest.fixture(scope="module")
def images():
    return data.digits("validation")[0][:24]


@pytest.fixture(scope="module")
def calibration():
    return data.digits("train")[0][:16]


def test_losses_are_what_their_formulas_say():
    p, q = torch.tensor([[0.0, math.log(3.0)]]), torch.tensor([[5.0, 5.0]])
    assert kl(p, q) == pytest.approx(0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5))
    assert kl(p, p + 7) == pytest.approx(0, abs=1e-12)
    assert kl(torch.cat([p, p]), torch.cat([q, p])) == pytest.approx(kl(p, q) / 2)
    assert mse(torch.zeros(2, 2), torch.tensor([[2.0, 0.0], [0.0, 4.0]])) == 5.0
    torch_kl = nn.functional.kl_div(q.log_softmax(1), p.softmax(1), reduction="batchmean")
    assert kl(p, q) == pytest.approx(torch_kl.item(), rel=1e-6)


def test_layers_have_the_names_of_the_graphs_products(model):
    from hwsim.accel.program import program
    from qmodels.evidence import skeleton_of
    from workloads import find

    assert set(layers_of(model)) == set(program(skeleton_of(find("digits_w8a8"))).products)


def test_a_layer_is_at_its_widths_inside_and_as_it_was_outside(model, images, calibration):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    plain = logits(model, images)
    with at_widths(model, {FC1: (8, 2), QK: (3, 3)}, calibration):
        layers = layers_of(model)
        assert [own_widths(name, layers[name]) for name in (FC1, QK, AV)] == [(8, 2), (3, 3), (8, 8)]
        assert layers[FC1].weight_quantizer.codes(layers[FC1].weight).unique().tolist() == [-2, -1, 0, 1]
        assert not torch.equal(logits(model, images), plain)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert torch.equal(logits(model, images), plain)


def test_quantizers_are_of_the_same_kind(model, calibration):
    old = {name: (layer.a_quantizer, layer.b_quantizer) for name, layer in layers_of(model).items() if name in (QK, AV)}
    with at_widths(model, {QK: (1, 2), AV: (3, 1)}, calibration):
        for name, (a, b) in old.items():
            layer = layers_of(model)[name]
            for new, was in ((layer.a_quantizer, a), (layer.b_quantizer, b)):
                assert type(new) is type(was)
                assert (new.axis, new.batched, new.scale.shape) == (was.axis, was.batched, was.scale.shape)
                assert new.qmin == was.qmin == 0
                assert new.calibrated
        assert isinstance(layers_of(model)[AV].a_quantizer, Lsq)
        assert isinstance(layers_of(model)[AV].b_quantizer, LsqPlus)
    with at_widths(model, {FC1: (8, 1)}, calibration):
        assert isinstance(layers_of(model)[FC1].weight_quantizer, Binary)
        with at_widths(model, {FC1: (8, 2)}, calibration):
            assert isinstance(layers_of(model)[FC1].weight_quantizer, Lsq)


def test_a_weight_gets_the_scale_that_insertion_would_give(model, calibration):
    with at_widths(model, {FC1: (8, 4)}, calibration):
        layer = layers_of(model)[FC1]
        fresh = Lsq(4, signed=True, axis=0, size=layer.weight.shape[0], batched=False)
        fresh.initialise(layer.weight)
        assert torch.equal(layer.weight_quantizer.scale, fresh.scale)


def test_one_layer_at_a_time_is_measured(model, images, calibration):
    seen = []
    found = measure(model, images, calibration, [(8, 8), (2, 2), (8, 4)], progress=lambda *at: seen.append(at))
    layers = {name: dict(losses) for name, losses in found.layers}
    assert list(layers) == list(layers_of(model))
    assert found.unit == "nat"
    assert layers["patch_embed.proj"] == layers["head"] == {(8, 8): 0.0}
    assert list(layers[FC1]) == [(8, 8), (2, 2), (8, 4)]
    assert list(layers[QK]) == [(8, 8), (2, 2)]  # both operands are activations
    assert all(losses[8, 8] == 0 for losses in layers.values())
    total = sum(len(losses) for losses in layers.values())
    assert seen == [(done, total) for done in range(total)]
    reference = logits(model, images)
    with at_widths(model, {QK: (2, 2)}, calibration):
        assert layers[QK][2, 2] == pytest.approx(kl(reference, logits(model, images)), rel=1e-6)


def test_ends_are_measured_on_request(images, calibration):
    small = models.quantize(models.create("digits_deit", depth=1), Bits(4, 4, 8), "lsq")
    from qmodels.calibrate import calibrate

    calibrate(small, calibration)
    found = dict(measure(small, images, calibration, [(4, 4)], loss="mse", ends=True).layers)
    assert [pair for pair, _ in found["head"]] == [(8, 8), (4, 4)]
    assert [pair for pair, _ in found["blocks.0.mlp.fc1"]] == [(4, 4)]
    assert dict(found["head"])[4, 4] > 0


def test_the_whole_is_measured_with_its_accuracy(model, calibration):
    images, labels = (part[:40] for part in data.digits("test"))
    same = whole(model, images, labels, calibration, {QK: (8, 8)})
    assert (same.loss, same.accuracy) == (0, same.accuracy_before)
    widths = {name: (2, 2) for name in layers_of(model) if name.startswith("blocks")}
    found = whole(model, images, labels, calibration, widths, "mse")
    with at_widths(model, widths, calibration):
        assert found.accuracy == accuracy(model, images, labels)
    assert found.accuracy < found.accuracy_before == same.accuracy
    assert found.loss > 1


def test_what_cannot_be_measured_is_refused(model, images, calibration):
    with pytest.raises(HwsimError) as caught:
        measure(builder.build("digits_w4a4"), images, calibration, [(4, 8)])
    assert str(caught.value) == (
        "blocks.0.attn.qkv: widths must be at most the checkpoint's w4a4, got w8a4; start from a wider checkpoint"
    )
    with pytest.raises(HwsimError) as caught:
        measure(builder.build("digits_float"), images, calibration, [(4, 4)])
    assert str(caught.value) == (
        "patch_embed.proj: both operands must be quantized, got a float one; give a checkpoint of 8 bits"
    )
    with pytest.raises(UnknownName, match="loss: unknown name, got 'kk'; known, nearest first: kl, mse"):
        measure(model, images, calibration, [(4, 4)], loss="kk")
    with (
        pytest.raises(UnknownName, match=r"layer: unknown name, got 'blocks\.0\.attn\.kq'; known, nearest first: "),
        at_widths(model, {"blocks.0.attn.kq": (4, 4)}, calibration),
    ):
        pass
    assert all(
        isinstance(layer, QuantMatMul) or own_widths(n, layer) == (8, 8) for n, layer in layers_of(model).items()
    )
