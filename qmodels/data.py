"""Images and labels: the embedded digits, any folder of images, and what the package `datasets` reads.

Digits: scikit-learn's `load_digits`, 1797 scans of 8x8 pixels 0..16. An image is pixel / 16, enlarged to 32x32
(bilinear, corners not aligned), then 2 x - 1. Every weight of that enlargement is a multiple of 1/64, so all values are
exact in float32 and the same on every machine. The split is by index i, without a random number: i % 5 == 0 is `test`
(360), i % 10 == 1 is `validation` (180), the rest `train` (1257).

Folders: `ROOT/SPLIT/CLASS/IMAGE`, through torchvision's ImageFolder (timm's leaves files open) and timm's evaluation
transform. `hf:SOURCE` in place of ROOT: rows of what `datasets` reads (`qmodels.hub_images`), through the same transform.
`batches` reads them as they are needed, so that a data set of any size takes the memory of one batch, and a part of them
(`Batches.part`) reads no other image.
"""

import copy
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from hwsim import catalog
from hwsim.errors import BadFile, HwsimError
from qmodels import hub_images, models, torchvision_shim  # noqa: F401 - before timm
from workloads import datasets
from workloads.workload import Workload

# isort: split
import timm.data
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import default_loader

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Batches:
    """`images` items from `start` on of a dataset of pairs (image (C, H, W), class), at most `size` at once.

    Each item is a pair of tensors (B, C, H, W), (B,). Can be read again.
    """

    dataset: Dataset
    images: int
    size: int
    start: int = 0

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        end = self.start + self.images
        for start in range(self.start, end, self.size):
            pairs = [self.dataset[i] for i in range(start, min(start + self.size, end))]
            yield torch.stack([image for image, _ in pairs]), torch.tensor([int(label) for _, label in pairs])

    def part(self, start: int, stop: int) -> "Batches":
        """The images `start` (of these, from 0) to `stop`, less one; its batches begin at `start`."""
        return replace(self, start=self.start + start, images=stop - start)

    def spread(self, count: int) -> "Batches":
        """`count` of the images, at even distances: where they lie class by class, of as many classes as can be."""
        found = [self.start + i * self.images // count for i in range(count)]
        return self if count == self.images else Batches(_only(self.dataset, found), count, self.size)

    def fingerprint(self) -> str:
        """A SHA-256 hash of what the images are: names and sizes of files, or values; no file is opened."""
        digest = hashlib.sha256(f"{self.start} {self.images}\n".encode())
        chosen = slice(self.start, self.start + self.images)
        if isinstance(self.dataset, TensorDataset):
            for tensor in self.dataset.tensors:
                digest.update(tensor[chosen].numpy().tobytes())
        elif isinstance(self.dataset, hub_images.HubImages):
            for line in self.dataset.described(chosen):
                digest.update(line.encode())
        else:
            root = Path(self.dataset.root)
            for file, label in self.dataset.samples[chosen]:
                digest.update(f"{Path(file).relative_to(root)}\0{Path(file).stat().st_size} {label}\n".encode())
        return digest.hexdigest()


def digits(split: str) -> tuple[Tensor, Tensor]:
    """Images (N, 1, 32, 32) float32 in [-1, 1] and labels (N,) int64 of `split`, in the order of their index."""
    if split not in SPLITS:
        raise catalog.unknown("split", split, SPLITS)
    from sklearn.datasets import load_digits  # a second of a start that other data sets can do without

    bunch = load_digits()
    pixels = torch.from_numpy(bunch.images).float().unsqueeze(1) / 16  # (N, 1, 8, 8)
    images = F.interpolate(pixels, size=(32, 32), mode="bilinear", align_corners=False) * 2 - 1
    index = torch.arange(len(images))
    test, validation = index % 5 == 0, index % 10 == 1
    chosen = {"test": test, "validation": validation, "train": ~(test | validation)}[split]
    return images[chosen], torch.from_numpy(bunch.target)[chosen]


def image_folder(root: Path, split: str, image: tuple[int, int, int]) -> ImageFolder:
    """The images under `root/split/CLASS/` as a dataset of pairs (C, H, W) float32, class index (folders in order).

    Resized to H / 0.875, cropped at the centre, normalised with ImageNet's mean and deviation: timm's evaluation.
    """
    folder = _folder(root, split)
    if not folder.is_dir():
        raise HwsimError(f"{folder}: must be a folder with one folder of images per class, got none; pass --data ROOT")
    try:
        return ImageFolder(str(folder), _transform(image), loader=_opened)
    except FileNotFoundError:
        raise HwsimError(f"{folder}: must hold CLASS/IMAGE files, got no image; check the folder") from None


def batches(
    workload: Workload, split: str, root: Path | None = None, limit: int | None = None, size: int = 32
) -> Batches:
    """`limit` images of `split` and their labels, `size` at once; `root` is where image folders are, or `hf:SOURCE`.

    Of digits they are the first, of others, which lie class by class, they are spread evenly.
    """
    dataset: Dataset
    if workload.dataset.kind == "digits":
        if root is not None:
            raise HwsimError(f"{workload.dataset.name}: come with the package, got the folder {root}; leave out --data")
        dataset = TensorDataset(*digits(split))
    else:
        if root is None:
            raise HwsimError(f"{workload.dataset.name}: images must be brought along, got no folder; pass --data ROOT")
        found, image = datasets.at(workload.dataset, root), models.image_of(workload.model)
        if found.kind == "huggingface":
            dataset = hub_images.HubImages(found.source, split, _transform(image))
        else:
            dataset = image_folder(root, split, image)
    images = len(dataset)
    whole, count = Batches(dataset, images, size), min(images, limit or images)
    return whole.part(0, count) if isinstance(dataset, TensorDataset) else whole.spread(count)


def _only(dataset: Dataset, indices: Sequence[int]) -> Dataset:
    """The items `indices` of `dataset`."""
    if isinstance(dataset, TensorDataset):
        return TensorDataset(*(tensor[list(indices)] for tensor in dataset.tensors))
    if isinstance(dataset, hub_images.HubImages):
        return dataset.only(indices)
    found = copy.copy(dataset)
    found.samples = found.imgs = [dataset.samples[i] for i in indices]
    found.targets = [label for _, label in found.samples]
    return found


def splits(workload: Workload, root: Path | None = None) -> tuple[str, ...]:
    """Those of SPLITS that are there, with labels."""
    if workload.dataset.kind == "digits":
        return SPLITS
    if root is None:
        return ()
    found = datasets.at(workload.dataset, root)
    if found.kind == "huggingface":
        return hub_images.splits(found.source)
    return tuple(split for split in SPLITS if _folder(root, split).is_dir())


def _folder(root: Path, split: str) -> Path:
    """`root/split`; ImageNet's usual `val` where there is no `validation`."""
    short = root / "val"
    return short if split == "validation" and not (root / split).is_dir() and short.is_dir() else root / split


def load(workload: Workload, split: str, root: Path | None = None, limit: int | None = None) -> tuple[Tensor, Tensor]:
    """Images and labels of `split`, as two tensors, `limit` of them as `batches` chooses."""
    parts = tuple(batches(workload, split, root, limit))
    return torch.cat([images for images, _ in parts]), torch.cat([labels for _, labels in parts])


def _transform(image: tuple[int, int, int]) -> Callable[[Image.Image], Tensor]:
    return timm.data.create_transform(input_size=image, is_training=False)


@contextmanager
def told_in_one_line() -> Iterator[None]:
    """Within, an HwsimError of a DataLoader's worker, which torch tells with a traceback, is its one line again."""
    try:
        yield
    except HwsimError as error:
        lines = str(error).strip().splitlines()
        if len(lines) == 1:
            raise
        raise type(error)(lines[-1].partition(": ")[2]) from None


def _opened(path: str) -> object:
    try:
        return default_loader(path)
    except OSError as error:
        raise BadFile(f"{path}: must be an image, got {error}; mend or remove the file") from None
