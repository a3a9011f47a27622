import numpy as np
import pytest
import torch
from PIL import Image

import workloads
from qmodels import checkpoint
from workloads import models
from workloads.models import Model

TINY = Model(
    name="tiny_folder",
    timm="vit_tiny_patch16_224",
    label="Tiny",
    image=(3, 32, 32),
    classes=3,
    overrides=(
        *(("img_size", 32), ("patch_size", 8), ("num_classes", 3)),
        *(("embed_dim", 24), ("depth", 2), ("num_heads", 2)),
    ),
)


@pytest.fixture
def tiny(monkeypatch):
    """A model of three classes that takes small RGB images, under the name `tiny_folder`."""
    monkeypatch.setitem(models._MODELS, TINY.name, TINY)
    return workloads.find("tiny_folder_w4a4")


@pytest.fixture
def folder(tmp_path):
    """Three classes of images, 12 each to train on and 4 to validate on: brighter red, green or blue."""
    draw = np.random.default_rng(0)
    for split, count in (("train", 12), ("validation", 4)):
        for number, name in enumerate(("blue", "green", "red")):
            where = tmp_path / "images" / split / name
            where.mkdir(parents=True)
            for i in range(count):
                pixels = draw.integers(0, 120, (40, 36, 3), dtype=np.uint8)
                pixels[..., 2 - number] += 120
                Image.fromarray(pixels).save(where / f"{i}.png")
    return tmp_path / "images"


@pytest.fixture
def same():
    """Whether two checkpoints hold the same bits."""

    def same(one, two):
        a, b = (checkpoint.read(path)[0] for path in (one, two))
        return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)

    return same
