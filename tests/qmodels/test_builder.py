import pytest
import torch

from hwsim.errors import UnknownName
from qmodels import builder
from qmodels.quantizer import Quantizer


def test_without_a_checkpoint_it_is_random_but_calibrated_and_the_same_every_time():
    before = torch.random.get_rng_state()
    first, second = builder.build("digits_deit_w3a3"), builder.build("digits_deit_w3a3")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not first.training
    assert all(m.calibrated for m in first.modules() if isinstance(m, Quantizer))
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


def test_unknown_workload():
    with pytest.raises(UnknownName, match="workload: unknown name, got 'digits'; known, nearest first: digits_"):
        builder.build("digits")
