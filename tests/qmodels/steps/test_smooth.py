"""Smoothing by powers of two: nothing changes but where ranges lie."""

import pytest
import torch

from hwsim.errors import HwsimError
from qmodels import builder, data
from qmodels.ptq.partial import passing
from qmodels.searches.minmax import MinMax
from qmodels.steps.ranges import Ranges
from qmodels.steps.smooth import Smooth
from tests.qmodels.steps.conftest import Look

RANGES = Ranges(MinMax(), MinMax())


def test_a_factor_is_the_power_of_two_nearest_to_the_formula():
    x, weight = torch.randn(6, 5, 9) * torch.logspace(-2, 2, 9), torch.randn(7, 9) * torch.logspace(1, -1, 9)
    wanted = x.abs().amax((0, 1)) ** 0.35 / weight.abs().amax(0) ** 0.65
    found = Smooth().factors(x, weight)
    assert (torch.frexp(found)[0] == 0.5).all()
    assert ((found / wanted).log2().abs() <= 0.5 + 1e-5).all()
    assert found.unique().numel() > 2
    x[..., 0], weight[:, 1] = 0, 0
    assert Smooth().factors(x, weight)[:2].tolist() == [1, 1]
    assert Smooth(most=1).factors(x, weight).unique().tolist() == [0.5, 1, 2]


def test_the_function_stays_and_layers_behind_norms_alone_change(run_stages):
    images = data.digits("test")[0][:8]
    float_model = builder.build("digits_float").double()
    told = {}

    def look(unit):
        with torch.no_grad(), passing(unit.model.double()):
            told[unit.name] = unit.model(images.double())
        unit.model.float()

    outcome = run_stages((Smooth(), Look(look)), (RANGES,))
    with torch.no_grad():
        wanted = float_model(images.double())
    for name, output in told.items():
        torch.testing.assert_close(output, wanted, rtol=0, atol=1e-12, msg=name)  # powers of two: exact
    float_state, state = float_model.float().state_dict(), outcome.model.state_dict()
    changed = {name for name, value in float_state.items() if not torch.equal(state[name], value)}
    pairs = [("norm1", "attn.qkv"), ("norm2", "mlp.fc1")]
    ours = {f"blocks.{i}.{name}" for i in range(4) for pair in pairs for name in pair} | {"norm", "head"}
    assert {name.removesuffix(".weight").removesuffix(".bias") for name in changed} == ours
    factor = float_state["blocks.0.norm1.weight"] / state["blocks.0.norm1.weight"]
    assert (torch.frexp(factor)[0] == 0.5).all()


def test_none_is_asked_for(run_stages):
    plain = run_stages((RANGES,)).model.state_dict()
    off = run_stages((Smooth(most=0), RANGES)).model.state_dict()
    assert all(torch.equal(plain[name], off[name]) for name in plain)


def test_bad_fields():
    with pytest.raises(HwsimError, match=r"^smooth: alpha must be 0\.\.1, got 2; pass --set smooth\.alpha=VALUE$"):
        Smooth(alpha=2)
