"""Accuracy: the share of images whose greatest logit is at the label."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from qmodels.data import Batches


@torch.no_grad()
def logits(model: nn.Module, images: Tensor, chunk: int = 128) -> Tensor:
    """Logits (B, classes) of `images` (B, C, H, W), computed in chunks, in the mode the model is in."""
    return torch.cat([model(part) for part in images.split(chunk)])


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Top-1 accuracy in [0, 1], in eval mode."""
    was_training = model.training
    right = (logits(model.eval(), images).argmax(1) == labels).double().mean().item()
    model.train(was_training)
    return right


@torch.no_grad()
def streamed_accuracy(model: nn.Module, batches: Batches, told: Callable[[int], None] = lambda images: None) -> float:
    """Top-1 accuracy in [0, 1] on `batches`, one of them in memory at a time; `told` hears how many images are done."""
    was_training = model.training
    model.eval()
    right = done = 0
    for images, labels in batches:
        right += int((model(images).argmax(1) == labels).sum())
        done += len(images)
        told(done)
    model.train(was_training)
    return right / batches.images
