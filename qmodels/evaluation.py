"""Accuracy: the share of images whose greatest logit is at the label."""

import torch
from torch import Tensor, nn


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
