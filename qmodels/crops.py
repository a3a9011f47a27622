"""Crops of training images with a teacher's stored answers to them: multi-crop distillation (VVTQ, arXiv 2307.00331).

What the teacher says of crops is made once and kept in a folder (`qmodels.crop_labels`); while the student trains, `Crops`
takes some of each image's stored crops, cuts them out and reads the answers. (The scheme is that of Shen and Xing, A Fast
Knowledge Distillation Framework for Visual Recognition, arXiv 2112.01528, from which VVTQ has its labels.)

In a training loop: `images, logits = crops.take(indices, crops.choose(len(indices), generator))`; logits become
`Step.teacher_logits`, and labels are repeated `crops.per_image` times. With several processes, choose for the batch of all
of them and take a process's share: then which crops a step sees does not depend on how many processes there are.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hwsim.errors import HwsimError
from qmodels.crop_labels import CropLabels
from qmodels.cropping import Images, cut


@dataclass(frozen=True, slots=True)
class Crops:
    """`per_image` crops of each of `images` at `size` (H, W), and what the teacher of `labels` said of them."""

    images: Images
    labels: CropLabels
    per_image: int
    size: tuple[int, int]

    def __post_init__(self) -> None:
        if not 1 <= self.per_image <= self.labels.stored:
            raise HwsimError(
                f"crops: must be 1..{self.labels.stored}, as many as {self.labels.folder} holds of each image, got "
                f"{self.per_image}; take fewer, or make labels of more crops"
            )

    def choose(self, count: int, generator: torch.Generator) -> Tensor:
        """Which of the stored crops `count` images show, (count, per_image): each equally likely, none twice."""
        return torch.rand(count, self.labels.stored, generator=generator).argsort(1)[:, : self.per_image]

    def take(self, indices: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """The crops `chosen` (B, M) of the images `indices` (B,): (B M, C, H, W), and logits (B M, classes).

        The crops of one image are neighbours.
        """
        pictures, logits = [], []
        for index, crops in zip(indices.tolist(), chosen, strict=True):
            image, (boxes, mirrored, said) = self.images(index), self.labels.of(index)
            pictures += [cut(image, boxes[crop], bool(mirrored[crop]), self.size) for crop in crops.tolist()]
            logits.append(said[crops])
        return torch.stack(pictures), torch.cat(logits)
