"""Training images in their order: which images a step sees, and how they are augmented, follows from seed and position.

Digits lie in memory: one random generator draws each epoch's order and then each batch's affine maps. Images of a folder, or
rows of `datasets`, are read as they are needed, by `recipe.workers` processes, through timm's training transform; the random
numbers of an image follow from seed, epoch and its index alone, whoever reads it. With crops (`qmodels.crops`), the generator
draws which of the stored ones an image shows, and a batch brings the teacher's answers. `Position` is all that must be kept
to go on from any step. An epoch's last batch is left out where it has fewer images than there are processes, or cannot be
mixed.
"""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from hwsim.errors import HwsimError
from qmodels import (
    augment,
    data,
    models,
    torchvision_shim,  # noqa: F401 - before timm
)
from qmodels.crops import Crops
from qmodels.hub_images import HubImages
from qmodels.training.parallel import Group
from workloads.models import plain_of
from workloads.workload import Recipe, Workload

# isort: split
import timm.data
from torchvision.datasets import ImageFolder


@dataclass(slots=True)
class Batch:
    """This process's share of a step.

    images (B, C, H, W); labels (B,), or shares of classes (B, classes); indices of the images in the data set; logits
    (B, classes) that a teacher has for them, where they are stored. Crops of one image are neighbours.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor
    logits: Tensor | None = None

    def to(self, device: torch.device) -> "Batch":
        """The same on `device`."""
        logits = None if self.logits is None else self.logits.to(device)
        return Batch(self.images.to(device), self.labels.to(device), self.indices, logits)


@dataclass(frozen=True, slots=True)
class Position:
    """Where the order is: `epoch` (from 0), batches of it that are done, and the generator at its start and now."""

    epoch: int
    batch: int
    at_start: Tensor
    now: Tensor


class Feed:
    """The training images of a workload for one process; `classes` are how many the labels may name."""

    def __init__(
        self,
        workload: Workload,
        recipe: Recipe,
        root: Path | None,
        group: Group,
        classes: int,
        crops: Crops | None = None,
    ) -> None:
        self.recipe, self.group, self.crops = recipe, group, crops
        self.dataset = data.batches(workload, "train", root).dataset
        where = f"{root}/train" if root else workload.dataset.name
        self.chosen = chosen(self.dataset, recipe.images)
        self.is_folder = workload.dataset.kind != "digits"
        if self.is_folder:
            self.names, self.transform = tuple(self.dataset.classes), _transform(workload, recipe)
            _check_classes(workload, len(self.names), classes, where)
        else:
            self.names = tuple(map(str, self.dataset.tensors[1].unique().tolist()))
        self.mixup = _mixup(recipe, classes)
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.epoch, self.batch, self.at_start = 0, 0, self.generator.get_state()
        self.sizes = self._sizes()
        if not self.sizes:
            raise self._too_few(where)

    def _sizes(self) -> list[int]:
        """Images of each step of an epoch, of all processes together."""
        size, count = self.recipe.batch * self.group.size, len(self.chosen)
        sizes = [min(size, count - start) for start in range(0, count, size)]
        last = sizes[-1]
        if last < self.group.size or (self.mixup and last % (2 * self.group.size)):
            sizes.pop()
        return sizes

    def _too_few(self, where: str) -> HwsimError:
        """The error where an epoch would have no step: its only batch is left out."""
        count, processes = len(self.chosen), self.group.size
        if count < processes * (2 if self.mixup else 1):
            rule = "two images for each process with mixup or cutmix" if self.mixup else "an image for each process"
            mend = "start fewer processes" if processes > 1 else "add images, or leave out mixup and cutmix"
            return HwsimError(f"{where}: must have {rule}, got {count}; {mend}")
        batch = count // (2 * processes) * 2
        return HwsimError(
            f"{where}: must fill a batch of {self.recipe.batch} for each process, or hold a multiple of {2 * processes} "
            f"images, which mixup and cutmix pair, got {count}; pass --set batch={batch}"
        )

    def digest(self) -> str:
        """A hash of how many images there are, and of their classes' names."""
        return hashlib.sha256(f"{len(self.chosen)} {len(self.dataset)} {self.names}".encode()).hexdigest()[:16]

    def position(self) -> Position:
        """Where it is, for `go_to`."""
        return Position(self.epoch, self.batch, self.at_start, self.generator.get_state())

    def go_to(self, position: Position) -> None:
        """Let the next `rest_of_epoch` begin there."""
        self.epoch, self.batch, self.at_start = position.epoch, position.batch, position.at_start
        self.generator.set_state(position.now if position.batch else position.at_start)

    def rest_of_epoch(self) -> Iterator[Batch]:
        """The batches of this epoch that are not done yet, this process's share of each; then the next epoch begins."""
        now = self.generator.get_state()
        self.generator.set_state(self.at_start)
        order = torch.randperm(len(self.chosen), generator=self.generator)
        if self.batch:
            self.generator.set_state(now)
        steps = order.split(self.recipe.batch * self.group.size)[self.batch : len(self.sizes)]
        read = self._cropped if self.crops else self._folder if self.is_folder else self._memory
        for batch in read([self.chosen[step] for step in steps]):
            self.batch += 1
            yield self._mixed(batch) if self.mixup else batch
        self.epoch, self.batch, self.at_start = self.epoch + 1, 0, self.generator.get_state()

    def _memory(self, steps: list[Tensor]) -> Iterator[Batch]:
        """Digits, each under its affine map."""
        images, labels = self.dataset.tensors
        for step in steps:
            share = self.group.share(step)
            pictures = images[share]
            if self.recipe.augmentation == "usual":
                drawn = augment.draw(len(step), self.generator)
                pictures = augment.mapped(pictures, self.group.share(drawn))
            yield Batch(pictures, labels[share], share)

    def _folder(self, steps: list[Tensor]) -> Iterator[Batch]:
        """Images of a folder through timm's transform."""
        shares = [[(self.epoch, int(i)) for i in self.group.share(step)] for step in steps]
        own = torch.Generator()  # else the loader would draw from the one that dropout draws from
        items = _Seeded(self.dataset, self.transform, self.recipe.seed)
        loader = DataLoader(items, batch_sampler=shares, num_workers=self.recipe.workers, generator=own)
        with data.told_in_one_line():
            for batch in loader:
                yield Batch(*batch)

    def _cropped(self, steps: list[Tensor]) -> Iterator[Batch]:
        """Stored crops of the images; drawn step by step, so that a step can be gone on from."""
        for step in steps:
            share = self.group.share(step)
            drawn = self.group.share(self.crops.choose(len(step), self.generator))
            images, logits = self.crops.take(share, drawn)
            yield Batch(images, self._labels(share).repeat_interleave(self.crops.per_image), share, logits)

    def _labels(self, indices: Tensor) -> Tensor:
        if self.is_folder:
            return torch.tensor([self.dataset.targets[i] for i in indices.tolist()])
        return self.dataset.tensors[1][indices]

    def _mixed(self, batch: Batch) -> Batch:
        """Pairs of the batch mixed by timm's Mixup, which draws from numpy's own generator."""
        with _seeded(self.recipe.seed, 1 + self.epoch, self.batch, self.group.rank):
            images, shares = self.mixup(batch.images, batch.labels)
        return Batch(images, shares, batch.indices)


def chosen(dataset: Dataset, *counts: int) -> Tensor:
    """Indices of images of `dataset`, all for a count of 0: the first of digits, evenly spread ones of a folder.

    Of several counts, each chooses among those of the one before.
    """
    found = torch.arange(len(dataset))
    for count in counts:
        if count and count < len(found):
            first = isinstance(dataset, TensorDataset)
            found = found[:count] if first else found[torch.arange(count) * len(found) // count]
    return found


def _check_classes(workload: Workload, got: int, classes: int, where: str) -> None:
    """Raise HwsimError where a folder has other than the model's classes."""
    if got != classes:
        name = workload.model.name
        other = f"{plain_of(name)}@{got}{workload.name.removeprefix(name)}"
        raise HwsimError(
            f"{where}: must have the {classes} classes of {name}, got {got}; pass other data with --data ROOT, or train "
            f"--workload {other}, with a head of {got}"
        )


def _mixup(recipe: Recipe, classes: int) -> timm.data.Mixup | None:
    if not (recipe.mixup or recipe.cutmix):
        return None
    return timm.data.Mixup(recipe.mixup, recipe.cutmix, label_smoothing=0.0, num_classes=classes)


def _transform(workload: Workload, recipe: Recipe) -> object:
    """timm's transform for training at the recipe's strength, or the one for evaluation."""
    return timm.data.create_transform(
        input_size=models.image_of(workload.model),
        is_training=recipe.augmentation == "usual",
        scale=(recipe.smallest_crop, 1.0),
        color_jitter=recipe.color_jitter,
        auto_augment=recipe.auto_augment or None,
        re_prob=recipe.erase,
    )


class _Seeded(Dataset):
    """The items (epoch, index) of a folder: image, label and index, the image's random numbers drawn from a seed."""

    def __init__(self, folder: ImageFolder | HubImages, transform: object, seed: int) -> None:
        self.folder, self.transform, self.seed = folder, transform, seed

    def __getitem__(self, item: tuple[int, int]) -> tuple[Tensor, int, int]:
        epoch, index = item
        path, label = self.folder.samples[index]
        image = self.folder.loader(path)
        with _seeded(self.seed, 0, epoch, index):
            try:
                return self.transform(image), label, index
            except ValueError as error:
                raise HwsimError(
                    f"{path}: augmentation must take each image, got {error}; choose another auto_augment"
                ) from None


class _seeded:  # noqa: N801 - a context manager
    """Within, random, numpy and torch draw from a seed made of `numbers`; afterwards they go on as before."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers

    def __enter__(self) -> None:
        self.before = random.getstate(), np.random.get_state(), torch.get_rng_state()
        words = np.random.SeedSequence(self.numbers).generate_state(2)
        random.seed(int(words[0]))
        np.random.seed(words)
        torch.default_generator.manual_seed(int(words[1]))

    def __exit__(self, *_: object) -> None:
        random.setstate(self.before[0])
        np.random.set_state(self.before[1])
        torch.set_rng_state(self.before[2])
