"""Crops of images: how they are drawn, and how they are cut out.

A crop is a box (top, left, height, width), in shares of the image's height and width, and whether it is mirrored.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from qmodels import torchvision_shim  # noqa: F401 - before timm

# isort: split
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.functional import normalize, to_tensor

Images = Callable[[int], Tensor]
"""The whole image of an index, (C, H, W) float32, of any size, normalised as the model wants it."""


def whole_images(dataset: Dataset) -> Images:
    """The images of a data set as crops are cut from: those of a folder whole, not resized, normalised as ImageNet's."""
    if isinstance(dataset, TensorDataset):
        return lambda index: dataset.tensors[0][index]

    def read(index: int) -> Tensor:
        pixels = to_tensor(dataset.loader(dataset.samples[index][0]))
        return normalize(pixels, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)

    return read


def cut(image: Tensor, box: Tensor, mirrored: bool, size: tuple[int, int]) -> Tensor:
    """The `box` (4,) of `image` (C, H, W) at `size`: to whole pixels, bilinear, antialiased, and mirrored if so said."""
    height, width = image.shape[1:]
    top, left = round(float(box[0]) * height), round(float(box[1]) * width)
    bottom, right = top + max(1, round(float(box[2]) * height)), left + max(1, round(float(box[3]) * width))
    part = image[None, :, top:bottom, left:right]
    if part.shape[2:] != size:
        part = F.interpolate(part, size=size, mode="bilinear", align_corners=False, antialias=True)
    return part[0].flip(-1) if mirrored else part[0]


@dataclass(frozen=True, slots=True)
class Drawing:
    """How crops are drawn: `stored` per image, a share of the area in `scale`, width / height in `ratio`, `mirror` of them
    mirrored; of the teacher's probabilities the `top` greatest are kept. The defaults are ImageNet's."""

    stored: int = 500
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    mirror: float = 0.5
    top: int = 5
    seed: int = 0

    def crops(self, index: int, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Boxes (S, 4) and whether they are mirrored (S,), of the image `index`: torchvision's rule."""
        image, boxes = torch.empty(1, 1, 1).expand(1, height, width), []
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(self.seed * 0x9E3779B1 + index)
            for _ in range(self.stored):
                boxes.append(RandomResizedCrop.get_params(image, list(self.scale), list(self.ratio)))
            mirrored = torch.rand(self.stored) < self.mirror
        return torch.tensor(boxes) / torch.tensor([height, width, height, width]), mirrored.to(torch.uint8)


DIGITS = Drawing(stored=16, scale=(0.6, 1.0), ratio=(0.9, 1 / 0.9), mirror=0.0)
"""A mirrored digit is another one, or none, and half of one as well."""
