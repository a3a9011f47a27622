"""Which images calibrate: so many of the training split, drawn by the seed, not augmented, each in one batch only."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hwsim.errors import HwsimError
from qmodels.data import Batches
from qmodels.ptq.settings import Settings


@dataclass(frozen=True, slots=True)
class Images:
    """The images `indices` of `source`, as batches (B, C, H, W) of at most `batch`."""

    source: Batches
    indices: tuple[int, ...]
    batch: int

    def first(self, count: int) -> "Images":
        """The first `count` of them."""
        return replace(self, indices=self.indices[:count])

    def fingerprint(self) -> str:
        """A SHA-256 hash of what the images are, as of `Batches.fingerprint`; no file is opened."""
        each = "\n".join(f"{index} {self.source.part(index, index + 1).fingerprint()}" for index in self.indices)
        return hashlib.sha256(each.encode()).hexdigest()

    def __iter__(self) -> Iterator[Tensor]:
        for start in range(0, len(self.indices), self.batch):
            found = []
            for index in self.indices[start : start + self.batch]:
                image = self.source.dataset[index][0]
                if not torch.isfinite(image).all():
                    bad = float(image[~torch.isfinite(image)][0])
                    raise HwsimError(
                        f"calibration image {index}: values must be finite, got {bad}; mend or remove the image"
                    )
                found.append(image)
            yield torch.stack(found)


def choose(source: Batches, settings: Settings) -> Images:
    """`settings.images` of `source`, without an image twice; raises HwsimError where there are fewer."""
    if settings.images > source.images:
        raise HwsimError(
            f"{settings.workload.name}: images must be at most {source.images}, as many as the training split has, got "
            f"{settings.images}; ask for fewer, or bring more"
        )
    order = torch.randperm(source.images, generator=torch.Generator().manual_seed(settings.seed))
    return Images(source, tuple(order[: settings.images].tolist()), settings.batch)
