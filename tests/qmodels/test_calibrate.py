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


def test_elements_of_an_image_are_those_of_all_its_windows():
    small = {"img_size": 32, "window_size": 2, "depths": (1, 1), "num_heads": (2, 4), "embed_dim": 16, "num_classes": 5}
    model = models.quantize(models.create("swin_tiny_patch4_window7_224", **small), Bits(4, 4), "lsq")
    calibrate(model, torch.randn(3, 3, 32, 32)).train()
    first, second = (stage.blocks[0] for stage in model.layers)
    found = [block.attn.qkv.input_quantizer.windows for block in (first, second)]
    assert found == [first.attn.qk.a_quantizer.windows, second.attn.av.b_quantizer.windows] == [16, 4]
    assert first.mlp.fc1.input_quantizer.windows == model.head.fc.input_quantizer.windows == 1
    whole, windows = first.mlp.fc1.input_quantizer, first.attn.qkv.input_quantizer
    assert whole.grad_factor(torch.zeros(3, 8, 8, 16)) == windows.grad_factor(torch.zeros(3 * 16, 4, 16))
    assert torch.allclose(whole._module_factor(torch.ones(3, 8, 8, 16)), windows._module_factor(torch.ones(48, 4, 16)))
