"""The baselines of post-training quantization, and what searches are worth beside them."""

import dataclasses

import pytest
import torch

from qmodels.method import find
from qmodels.quantizers.uniform import Uniform
from qmodels.searches.power_of_two import PowerOfTwo
from qmodels.steps.ranges import Ranges

pytestmark = pytest.mark.slow

NAMES = ("ptq_minmax", "ptq_percentile", "ptq_mse")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bits", ["w8a8", "w4a4"])
def test_its_integers_are_those_of_its_fake_quant_model(made, graph_of, kl, name, bits):
    outcome = made(name, bits)
    graph_of(outcome)
    assert kl(outcome.model) < (0.001 if bits == "w8a8" else 0.1)


@pytest.mark.parametrize("name", NAMES)
def test_they_differ_in_their_search_alone(name):
    method = find(name)
    assert dataclasses.replace(method, name="ptq_minmax", stages=find("ptq_minmax").stages) == find("ptq_minmax")
    ((step,),) = method.stages
    assert type(step.activations) is type(step.weights)
    assert type(step.weights).__name__.lower() == name.removeprefix("ptq_")


def test_weights_have_a_scale_per_output_channel_and_activations_one_per_tensor(made):
    quantizers = {name: q for name, q in made("ptq_minmax", "w4a4").model.named_modules() if isinstance(q, Uniform)}
    for name, quantizer in quantizers.items():
        if name.endswith("weight_quantizer"):
            assert (quantizer.axis, quantizer.qmin) == (0, -(2 ** (quantizer.bits - 1)))
        else:
            assert (quantizer.axis, quantizer.qmin) == (None, 0)
    assert {q.bits for name, q in quantizers.items() if name.startswith(("patch_embed", "head"))} == {8}
    assert not any(q.zero_point.any() for name, q in quantizers.items() if name.endswith("av.a_quantizer"))


@pytest.mark.slow
def test_more_bits_are_better(made, kl):
    for name in NAMES:
        divergences = [kl(made(name, bits).model) for bits in ("w8a8", "w6a6", "w4a4", "w3a3")]
        assert divergences == sorted(divergences)


def test_powers_of_two_that_are_searched_beat_those_that_are_rounded(made, kl, method_of):
    """From min-max scales at W4A4: floor clips half of the range, up to half of the codes are lost by ceil."""
    found = {}
    for mode in ("search", "nearest", "ceil", "floor"):
        search = PowerOfTwo(mode)
        method_of("ptq_minmax", name=f"rounded_{mode}", stages=((Ranges(search, search),),))
        model = made(f"rounded_{mode}", "w4a4").model
        scales = [q.scale for q in model.modules() if isinstance(q, Uniform)]
        assert all((torch.frexp(scale)[0] == 0.5).all() for scale in scales)
        found[mode] = kl(model)
    assert 1.5 * found["search"] < min(found["nearest"], found["ceil"])
    assert found["floor"] > 10 * max(found["nearest"], found["ceil"])
