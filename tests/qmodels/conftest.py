import pytest
import torch

from qmodels import torchvision_shim  # noqa: F401 - before any test imports timm


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)
