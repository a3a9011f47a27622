"""Augmentation for small grey images: a random affine map per image, redrawn for every batch.

Rotation up to 10 degrees, scale 0.9..1.1, shift up to 2 of 32 pixels, each uniform; bilinear, background -1.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_ANGLE_RADIANS = math.radians(10)
_SCALE = 0.1
_SHIFT = 2 / 16  # of the half width


def affine(images: Tensor, generator: torch.Generator) -> Tensor:
    """`images` (B, 1, H, W) in [-1, 1], each under its own random map."""
    return mapped(images, draw(len(images), generator))


def draw(count: int, generator: torch.Generator) -> Tensor:
    """What decides the maps of `count` images: (count, 4), uniform in [-1, 1)."""
    return torch.rand(count, 4, generator=generator) * 2 - 1


def mapped(images: Tensor, drawn: Tensor) -> Tensor:
    """`images` (B, 1, H, W) under the maps that `drawn` (B, 4) decides."""
    angle, scale = drawn[:, 0] * _ANGLE_RADIANS, 1 + drawn[:, 1] * _SCALE
    cos, sin, shift = angle.cos() * scale, angle.sin() * scale, drawn[:, 2:] * _SHIFT
    matrix = torch.stack([torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)], 1)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)  # (B, H, W, 2)
    return F.grid_sample(images + 1, grid, mode="bilinear", padding_mode="zeros", align_corners=False) - 1
