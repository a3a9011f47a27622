import numpy as np
import pytest


@pytest.fixture
def feeds():
    return {"x": np.random.default_rng(5).normal(0, 1, (20, 3, 4))}
