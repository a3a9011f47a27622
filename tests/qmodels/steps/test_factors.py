"""Power-of-two factors: which exponents they find, and what they are worth where channels differ."""

from dataclasses import replace

import pytest
import torch

from hwsim.errors import HwsimError
from qmodels import models
from qmodels.method import find
from qmodels.quantizer import make
from qmodels.steps.factors import Factors
from workloads.bits import Bits


def uneven(channels=12):
    """Rows whose channels have ranges of 2^-6 to 1, both signs, no two alike."""
    torch.manual_seed(3)
    return (torch.rand(400, channels) * 1.4 - 0.6) * 2.0 ** -torch.arange(channels).div(2)


def grid(x, signed=False, bits=4, **fields):
    quantizer = make("uniform", bits, signed=signed, axis=-1, size=x.shape[-1])
    Factors(**fields).set_grid(x, quantizer)
    return quantizer


def error(quantizer, x):
    return (quantizer(x) - x).square().mean(0)


def by_hand(x, bits, most):
    """The published rule in loops: scale and zero point of the whole range, the best exponent of each channel."""
    coarse = (x.max() - x.min()) / (2**bits - 1)
    zero = torch.round(-x.min() / coarse)
    exponents = []
    for channel in x.T:
        errors = []
        for alpha in range(most + 1):
            step = coarse / 2**most * 2**alpha
            codes = (torch.round(channel / step) + zero).clamp(0, 2**bits - 1)
            errors.append(((codes - zero) * step - channel).square().sum().item())
        exponents.append(errors.index(min(errors)))
    return coarse, zero, torch.tensor(exponents)


@pytest.mark.parametrize(("bits", "most"), [(4, 3), (8, 3), (6, 5), (4, 0)])
def test_each_channel_has_the_exponent_of_least_error(bits, most):
    x = uneven()
    coarse, zero, exponents = by_hand(x, bits, most)
    found = grid(x, bits=bits, most=most)
    torch.testing.assert_close(found.scale, coarse / 2**most * 2.0**exponents)
    assert found.zero_point.unique().tolist() == [zero.item()]
    assert most == 0 or len(exponents.unique()) > 1


def test_scales_are_powers_of_two_apart_and_of_two_themselves_where_asked_for():
    x = uneven()
    for signed in (False, True):
        found = grid(x, signed=signed)
        fractions = torch.frexp(found.scale / found.scale.min())[0]
        assert (fractions == 0.5).all()
        powers = grid(x, signed=signed, power_of_two=True)
        assert (torch.frexp(powers.scale)[0] == 0.5).all()
        assert not signed or not powers.zero_point.any()
        low, high = (powers.scale.max() * (end - powers.zero_point[0]) for end in (powers.qmin, powers.qmax))
        assert low <= x.min() + powers.scale.max() / 2  # rounded up: the coarsest channel clips nothing
        assert high >= x.max() - powers.scale.max() / 2


def test_where_channels_differ_factors_beat_one_scale_by_far():
    x = uneven()
    factors, tensor = error(grid(x), x), error(grid(x, most=0), x)
    assert (factors <= tensor * (1 + 1e-6)).all()
    narrow = x.abs().amax(0) < x.abs().max() / 8
    assert narrow.sum() >= 4
    assert factors[narrow].sum() < tensor[narrow].sum() / 8  # a step 8 times as fine, but for what that clips


def test_only_what_norms_read_gets_factors(run_stages):
    told = {}
    method = replace(find("ptq_mse"), name="of_a_test", norm_inputs=find("fqvit").norm_inputs)
    (ranges,) = method.stages[0]

    class Seen(Factors):
        def run(self, unit):
            Factors.run(self, unit)
            told.update({path: quantizer.calibrated for path, quantizer in unit.quantizers})

    run_stages((Seen(), ranges), method=method)
    with_factors = {path for path, calibrated in told.items() if calibrated}
    norms = {f"blocks.{i}.norm{j}.input_quantizer" for i in range(4) for j in (1, 2)}
    assert with_factors == norms | {"norm.input_quantizer"}
    assert len(told) > 40


def test_norms_of_float_models_read_floats():
    model = models.quantize(models.create("digits_deit"), Bits(4, 32), find("fqvit"))
    assert not any("norm1.input_quantizer" in name for name, _ in model.named_modules())


def test_bad_input():
    with pytest.raises(HwsimError, match=r"^factors: most must be 0\.\.31, got -1; pass --set factors\.most=VALUE$"):
        Factors(most=-1)
    with pytest.raises(HwsimError, match="calibration: values must be finite, got 4 NaN and 0 infinite of 8"):
        grid(torch.tensor([[1.0, float("nan")] * 4]))
    assert (grid(torch.zeros(5, 3)).scale > 0).all()
