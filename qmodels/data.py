"""Images and labels: the embedded digits, and any folder of images.

Digits: scikit-learn's `load_digits`, 1797 scans of 8x8 pixels 0..16. An image is pixel / 16, enlarged to 32x32
(bilinear, corners not aligned), then 2 x - 1. Every weight of that enlargement is a multiple of 1/64, so all values are
exact in float32 and the same on every machine. The split is by index i, without a random number: i % 5 == 0 is `test`
(360), i % 10 == 1 is `validation` (180), the rest `train` (1257).

Folders: `ROOT/SPLIT/CLASS/IMAGE`, through torchvision's ImageFolder (timm's leaves files open) and timm's evaluation
transform.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor
from torch.utils.data import Dataset

from hwsim import catalog
from hwsim.errors import HwsimError
from qmodels import torchvision_shim  # noqa: F401 - before timm
from workloads.workload import Workload

# isort: split
import timm.data
from torchvision.datasets import ImageFolder

SPLITS = ("train", "validation", "test")


def digits(split: str) -> tuple[Tensor, Tensor]:
    """Images (N, 1, 32, 32) float32 in [-1, 1] and labels (N,) int64 of `split`, in the order of their index."""
    if split not in SPLITS:
        raise catalog.unknown("split", split, SPLITS)
    bunch = load_digits()
    pixels = torch.from_numpy(bunch.images).float().unsqueeze(1) / 16  # (N, 1, 8, 8)
    images = F.interpolate(pixels, size=(32, 32), mode="bilinear", align_corners=False) * 2 - 1
    index = torch.arange(len(images))
    test, validation = index % 5 == 0, index % 10 == 1
    chosen = {"test": test, "validation": validation, "train": ~(test | validation)}[split]
    return images[chosen], torch.from_numpy(bunch.target)[chosen]


def image_folder(root: Path, split: str, image: tuple[int, int, int]) -> Dataset:
    """The images under `root/split/CLASS/` as a dataset of pairs (C, H, W) float32, class index (folders in order).

    Resized to H / 0.875, cropped at the centre, normalised with ImageNet's mean and deviation: timm's evaluation.
    """
    folder = root / split
    if not folder.is_dir():
        raise HwsimError(f"{folder}: must be a folder with one folder of images per class, got none; pass --data ROOT")
    transform = timm.data.create_transform(input_size=image, is_training=False)
    try:
        return ImageFolder(str(folder), transform)
    except FileNotFoundError:
        raise HwsimError(f"{folder}: must hold CLASS/IMAGE files, got no image; check the folder") from None


def load(workload: Workload, split: str, root: Path | None = None, limit: int | None = None) -> tuple[Tensor, Tensor]:
    """Images and labels of `split`, as two tensors, the first `limit` of them; `root` is where image folders are."""
    if workload.dataset.kind == "digits":
        if root is not None:
            raise HwsimError(f"{workload.dataset.name}: come with the package, got the folder {root}; leave out --data")
        images, labels = digits(split)
        return images[:limit], labels[:limit]
    if root is None:
        raise HwsimError(f"{workload.dataset.name}: images must be brought along, got no folder; pass --data ROOT")
    dataset = image_folder(root, split, workload.model.image)
    pairs = [dataset[i] for i in range(min(len(dataset), limit or len(dataset)))]
    return torch.stack([image for image, _ in pairs]), torch.tensor([label for _, label in pairs])
