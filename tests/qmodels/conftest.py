import pytest
import torch

from qmodels import torchvision_shim  # noqa: F401 - before any test imports timm


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Many small models: threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)
