"""The float model that a calibration starts from: what is not finite in it is named."""

import pytest
import torch

import workloads
from hwsim.errors import HwsimError
from qmodels import method as methods
from qmodels.ptq import weights


@pytest.mark.parametrize(("name", "count"), [("blocks.1.attn.qkv.weight", 3), ("head.bias", 1)])
def test_weights_that_are_not_finite_are_named(monkeypatch, name, count):
    workload = workloads.find("digits_deit_w4a4_ptq4vit")
    read = weights._from_file

    def damaged(*given):
        model = read(*given)
        with torch.no_grad():
            tensor = model.get_parameter(name).view(-1)
            tensor[:count] = torch.tensor([torch.nan, torch.inf, -torch.inf])[:count]
        return model

    monkeypatch.setattr(weights, "_from_file", damaged)
    total = read(workload, None).get_parameter(name).numel()
    with pytest.raises(HwsimError) as caught:
        weights.twin(workload, methods.find("ptq4vit"), None)
    assert str(caught.value) == (
        f"digits_deit_w4a4_ptq4vit: float weights must be finite, got {count} of {total} values of {name} that are not; "
        "mend the file, or pass another --teacher"
    )
