import torch

from qmodels import models
from qmodels.calibrate import calibrate
from qmodels.layers.irm import Irm
from qmodels.quantizer import Quantizer
from workloads.bits import Bits


def test_each_quantizer_sees_quantized_predecessors():
    images = torch.randn(4, 1, 32, 32)
    model = calibrate(models.quantize(models.create("digits_deit"), Bits(2, 2), "qvit"), images)
    last = model.head.input_quantizer
    seen = []
    hook = last.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model(images)
    hook.remove()
    scale = last.scale.clone()
    last.initialise(seen[0])
    assert torch.equal(last.scale, scale)


def test_only_what_is_uncalibrated_is_touched_and_the_mode_is_kept():
    images = torch.randn(4, 1, 32, 32)
    model = models.quantize(models.create("digits_deit"), Bits(4, 4), "qvit").train()
    weights = [m for n, m in model.named_modules() if n.endswith("weight_quantizer")]
    assert all(m.calibrated for m in weights)
    others = [m for m in model.modules() if isinstance(m, Quantizer | Irm) and m not in weights]
    assert not any(m.calibrated for m in others)
    calibrate(model, images)
    assert model.training
    assert all(m.calibrated for m in others)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    calibrate(model, images * 3)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
