"""What modules lose: norms and squares against NumPy on the whole model, and what is refused."""

import dataclasses

import numpy as np
import pytest
import torch

from hwsim.errors import HwsimError
from qmodels import builder, data, models
from qmodels.calibrate import calibrate
from qmodels.methods.lsq import LSQ
from qmodels.perturbations import MLP, MSA, Module, Place, perturbations, places
from workloads.bits import Bits

WIDTHS = (3, 6, 10)


@pytest.fixture(scope="module")
def teacher():
    return builder.build("digits_float")


@pytest.fixture(scope="module")
def images():
    return data.digits("train")[0][:8]


def student_of(teacher, own):
    """The teacher with quantizers where `own` says, all else float."""
    plan = {"*": (32, 32), **own}
    model = models.quantize(models.create("digits_deit"), Bits(8, 8), "lsq", initialise=False, layer_bits=plan)
    model.load_state_dict(teacher.state_dict(), strict=False)
    return model.eval()


@pytest.fixture(scope="module")
def table(teacher, images):
    blocks = [product for place in places(teacher) for product in place.products]
    return perturbations(teacher, lambda b: student_of(teacher, dict.fromkeys(blocks, (b, b))), images, WIDTHS)


def outputs(model, images, *names):
    """What the modules gave, and what each was given, on `images`."""
    seen = {}
    hooks = [
        model.get_submodule(name).register_forward_hook(lambda _, x, y, n=name: seen.update({n: (x[0], y)}))
        for name in names
    ]
    with torch.no_grad():
        model(images)
    for hook in hooks:
        hook.remove()
    return seen


def test_modules_are_the_attentions_and_mlps(teacher):
    found = places(teacher)
    assert [(place.name, place.kind) for place in found] == [
        (f"blocks.{i}.{name}", kind) for i in range(4) for name, kind in (("attn", MSA), ("mlp", MLP))
    ]
    assert found[2].products == tuple(f"blocks.1.attn.{name}" for name in ("qkv", "qk", "av", "proj"))
    assert found[3].products == ("blocks.1.mlp.fc1", "blocks.1.mlp.fc2")


def test_nuclear_norms_are_of_maps_and_of_outputs(teacher, images, table):
    known = {module.place.name: module for module in table}
    seen = outputs(teacher, images, "blocks.2.attn.av", "blocks.2.mlp")
    maps, features = seen["blocks.2.attn.av"][0].double().numpy(), seen["blocks.2.mlp"][1].double().numpy()
    assert maps.shape == (8, 3, 65, 65)
    np.testing.assert_allclose(maps.sum(-1), 1, rtol=1e-5)  # behind the softmax
    norm = np.linalg.svd(maps, compute_uv=False).sum() / 8
    assert known["blocks.2.attn"].nuclear == pytest.approx(norm, rel=1e-9)
    assert known["blocks.2.mlp"].nuclear == pytest.approx(np.linalg.svd(features, compute_uv=False).sum() / 8, rel=1e-9)


@pytest.mark.parametrize("name", ["blocks.0.mlp", "blocks.3.attn"])
@pytest.mark.parametrize("width", [3, 10])
def test_squares_are_of_that_module_alone_quantized(teacher, images, table, name, width):
    """By another route: the whole model with nothing else quantized, calibrated as a whole."""
    (module,) = (module for module in table if module.place.name == name)
    whole = calibrate(student_of(teacher, dict.fromkeys(module.place.products, (width, width))), images)
    was, now = (outputs(model, images, name)[name][1].double().numpy() for model in (teacher, whole))
    assert module.squared[width] == pytest.approx(((was - now) ** 2).sum(axis=(1, 2)).mean(), rel=1e-4)
    assert module.omega(width) == module.nuclear * module.squared[width]


def test_wider_loses_less(table):
    assert all(module.squared[3] > 4 * module.squared[6] > 4 * module.squared[10] for module in table)


def test_windows_and_grids_of_tokens_are_taken_too():
    small = {"img_size": 56, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4)}
    floats = models.quantize(models.create("swin_tiny_patch4_window7_224", **small), Bits(32, 32), "lsq")

    def at(width):
        model = models.quantize(models.create("swin_tiny_patch4_window7_224", **small), Bits(width, width), "lsq")
        model.load_state_dict(floats.state_dict(), strict=False)
        return model.eval()

    images = torch.randn(2, 3, 56, 56)
    found = perturbations(floats, at, images, (4, 8))
    assert len(found) == 8
    assert all(module.squared[4] > module.squared[8] > 0 for module in found)
    maps = outputs(floats, images, "layers.0.blocks.1.attn.av")["layers.0.blocks.1.attn.av"][0].double().numpy()
    assert maps.shape[0] == 2 * 4  # windows
    (module,) = (module for module in found if module.place.name == "layers.0.blocks.1.attn")
    assert module.nuclear == pytest.approx(np.linalg.svd(maps, compute_uv=False).sum() / 2, rel=1e-9)


def test_progress_is_told(teacher, images):
    seen = []
    at = lambda b: student_of(teacher, {"blocks.*": (b, b)})  # noqa: E731
    perturbations(teacher, at, images[:1], (4, 6), lambda *step: seen.append(step))
    assert seen == [(done, 16) for done in range(1, 17)]


def test_what_cannot_be_measured_is_refused(teacher, images):
    at = lambda b: student_of(teacher, {"blocks.*": (b, b)})  # noqa: E731
    with pytest.raises(HwsimError) as caught:
        perturbations(builder.build("digits_w4a4"), at, images, (4,))
    assert str(caught.value) == "teacher: must be float, got quantizers in patch_embed.proj; give the float model"
    with pytest.raises(HwsimError) as caught:
        perturbations(torch.nn.Linear(3, 3), at, images, (4,))
    assert str(caught.value) == (
        "teacher: must have attentions or MLPs, got none; give each layer its widths with a bits file"
    )
    broken = images.clone()
    broken[3, 0, 2, 2] = torch.nan
    with pytest.raises(HwsimError) as caught:
        perturbations(teacher, at, broken, (4,))
    assert str(caught.value) == (
        "blocks.0.attn: what 4 bits perturb must be finite, got nan; look for NaN in images and weights"
    )


def test_images_of_zeros_are_fine(teacher, images):
    at = lambda b: student_of(teacher, {"blocks.*": (b, b)})  # noqa: E731
    found = perturbations(teacher, at, torch.zeros_like(images[:2]), (4,))
    assert all(np.isfinite(module.omega(4)) for module in found)


def test_a_module_is_a_norm_times_squares():
    module = Module(Place("m", MLP, ("m.fc1",)), 3.0, {4: 2.0, 8: 0.5})
    assert (module.omega(4), module.omega(8)) == (6.0, 1.5)
    assert dataclasses.replace(module, nuclear=0.0).omega(4) == 0.0
    assert LSQ.softmax_bits == 0  # so that students here have the widths that are asked for
