"""Crops are drawn by torchvision's rule and cut as torchvision cuts them."""

import pytest
import torch
from torch.utils.data import TensorDataset

from qmodels import torchvision_shim  # noqa: F401 - before torchvision
from qmodels.cropping import DIGITS, Drawing, cut, whole_images

# isort: split
import numpy as np
import timm.data
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import resized_crop


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("box", [(2, 3, 17, 20), (0, 0, 31, 47), (30, 46, 1, 1)])
def test_cut_is_torchvisions_resized_crop(box, mirrored):
    image = torch.rand(3, 31, 47)
    ours = cut(image, torch.tensor(box) / torch.tensor([31, 47, 31, 47]), mirrored, (8, 12))
    theirs = resized_crop(image, *box, [8, 12], InterpolationMode.BILINEAR, antialias=True)
    assert torch.allclose(ours, theirs.flip(-1) if mirrored else theirs, atol=1e-6)


def test_a_box_of_the_wanted_size_is_moved_alone():
    image = torch.rand(1, 9, 9)
    assert torch.equal(cut(image, torch.tensor([0, 1 / 9, 8 / 9, 8 / 9]), False, (8, 8)), image[:, :8, 1:])


@pytest.mark.parametrize("drawing", [Drawing(stored=200), DIGITS])
def test_boxes_are_within_the_image_of_the_wanted_areas_and_ratios(drawing):
    boxes, mirrored = drawing.crops(3, 60, 90)
    assert boxes.shape == (drawing.stored, 4)
    assert (boxes >= 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= 1 + 1e-6).all()
    area, ratio = boxes[:, 2] * boxes[:, 3], boxes[:, 3] * 90 / (boxes[:, 2] * 60)
    assert drawing.scale[0] * 0.9 <= area.min() <= area.max() <= 1
    assert drawing.ratio[0] * 0.9 <= ratio.min() <= ratio.max() <= drawing.ratio[1] * 1.1
    assert mirrored.float().mean().item() == pytest.approx(drawing.mirror, abs=0.1)


def test_crops_follow_from_seed_and_index_and_touch_no_other_random_numbers():
    before = torch.get_rng_state()
    first, again, other, reseeded = (
        Drawing(stored=5, seed=seed).crops(index, 32, 32)[0] for seed, index in ((0, 1), (0, 1), (0, 2), (1, 1))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, reseeded)
    assert torch.equal(torch.get_rng_state(), before)


def test_whole_images_of_tensors_and_of_files(tmp_path):
    images = torch.rand(3, 1, 4, 4)
    assert torch.equal(whole_images(TensorDataset(images, torch.zeros(3)))(1), images[1])
    pixels = np.random.default_rng(0).integers(0, 256, (20, 31, 3), dtype=np.uint8)
    (tmp_path / "a").mkdir()
    Image.fromarray(pixels).save(tmp_path / "a" / "x.png")
    got = whole_images(ImageFolder(str(tmp_path)))(0)
    mean, std = (
        torch.tensor(v)[:, None, None] for v in (timm.data.IMAGENET_DEFAULT_MEAN, timm.data.IMAGENET_DEFAULT_STD)
    )
    assert torch.allclose(got, (torch.from_numpy(pixels).permute(2, 0, 1) / 255 - mean) / std, atol=1e-6)
