"""Noise: it changes nothing without rounding, it is taken where it helps, and in a LayerNorm it makes the same codes."""

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hwsim.errors import HwsimError
from hwsim.graph import op_name
from qmodels import data
from qmodels.layers.quant_linear import QuantLinear
from qmodels.metrics.squared import Squared
from qmodels.ptq.rows import choose
from qmodels.ptq.site import Site
from qmodels.quantizer import Quantizer
from qmodels.quantizers.noisy import Noisy
from qmodels.searches.minmax import MinMax
from qmodels.steps.noise import Line, Noise, fold
from qmodels.steps.ranges import Ranges
from qmodels.tracing import trace
from tests.qmodels.steps.conftest import NOTHING, Look

METHOD = dataclasses.replace(NOTHING, inputs=dataclasses.replace(NOTHING.inputs, quantizer="noisy"))
GRIDS = Ranges(MinMax(), MinMax())


def layer(bits=8, channels=16):
    made = QuantLinear(nn.Linear(channels, 6), Noisy(bits, signed=True, channels=channels), nn.Identity())
    return made.double()


@pytest.mark.parametrize("spread", [0.5, 3.0])
def test_without_rounding_the_output_is_exactly_what_it_was(spread):
    """All of x and N lie on a grid of powers of two, weights and biases on others: no sum is rounded."""
    own = layer()
    with torch.no_grad():
        own.weight.copy_(own.weight.mul(64).round() / 64)
        own.bias.copy_(own.bias.mul(64).round() / 64)
        own.input_quantizer.set_grid(torch.tensor([1 / 32], dtype=torch.float64))
        x = torch.randint(-20, 20, (5, 7, 16)).double() / 32
        noise = (torch.rand(16) * 2 - 1).mul(spread * 20).round().double() / 32
        own.input_quantizer.set_noise(noise)
        assert own.input_quantizer.codes(x).abs().max() < 127
        assert torch.equal(own(x), F.linear(x, own.weight, own.bias))


@pytest.mark.parametrize("bits", [4, 6, 8])
def test_with_finer_grids_the_output_comes_to_it(bits):
    own, x, noise = (
        layer(bits),
        torch.rand(5, 7, 16, dtype=torch.float64) - 0.5,
        torch.rand(16, dtype=torch.float64) - 0.5,
    )
    scale = torch.tensor([2.0 / 2**bits], dtype=torch.float64)
    own.input_quantizer.set_grid(scale)
    own.input_quantizer.set_noise(noise)
    error = own(x) - F.linear(x, own.weight, own.bias)
    assert (error.abs() <= scale / 2 * own.weight.abs().sum(1) + 1e-12).all()
    assert error.abs().max() > 0


def line_of(site, x, wanted=None):
    rows = choose(site, (x,), len(x), 0, torch.Generator())
    wanted = rows.product(site, *rows.operands(site, (x,))) if wanted is None else wanted
    return Line(Squared(), site, rows, (x,), wanted, None)


def test_a_line_search_takes_the_noise_of_least_error():
    own = layer(3)
    own.input_quantizer.set_grid(torch.tensor([0.5], dtype=torch.float64))
    x = 0.2 + 0.01 * torch.randn(4, 9, 16, dtype=torch.float64)  # all rounded to 0: without noise all is lost
    drawn = torch.rand(16, dtype=torch.float64) * 2 - 1
    noises = [drawn * 0.5 * n for n in torch.linspace(0, 2, 21).tolist()]
    with torch.no_grad():
        wanted, errors = F.linear(x, own.weight, own.bias), []
        for noise in noises:
            rounded = ((x + noise) / 0.5).round().clamp(-4, 3) * 0.5 - noise
            errors.append((F.linear(rounded, own.weight, own.bias) - wanted).square().mean())
        best = line_of(Site("a", own), x).best(noises)
    assert torch.equal(best, noises[torch.stack(errors).argmin()])
    assert min(errors) < 0.5 * errors[0]


def test_noise_that_does_not_help_is_left_out():
    own = layer()
    own.input_quantizer.set_grid(torch.tensor([1 / 32], dtype=torch.float64))
    x = torch.randint(-20, 20, (4, 9, 16)).double() / 32
    found = line_of(Site("a", own), x).best([torch.ones(16).double() * f for f in (0, 0.01, 0.02)])
    assert not found.any()


def test_every_linear_layer_gets_some_and_no_other(run_stages):
    seen = {}

    def keep(unit):
        for path, quantizer in unit.quantizers:
            if quantizer.offset is not None:
                seen[path] = -quantizer.offset / quantizer.positive_scale()

    run_stages((GRIDS, Noise(fold=False, rows=4), Look(keep)), method=METHOD, bits="w3a3")
    assert len(seen) == 18
    assert not seen.pop("patch_embed.proj.input_quantizer").any()
    assert all(1 < len(noise) == len(noise.unique()) for noise in seen.values() if noise.any())
    assert sum(noise.any().item() for noise in seen.values()) > 12
    assert all(noise.abs().max() <= 2 for noise in seen.values())
    assert max(noise.abs().max().item() for noise in seen.values()) > 0.5


def test_normal_noise_has_the_mean_and_the_deviation_of_the_released_code():
    drawn = Noise(shape="normal").drawn(4000, torch.Generator().manual_seed(0))
    assert drawn.mean().item() == pytest.approx(-1, abs=0.1)
    assert drawn.std().item() == pytest.approx(2, abs=0.1)
    drawn = Noise().drawn(4000, torch.Generator().manual_seed(0))
    assert drawn.abs().max() <= 1
    assert drawn.std().item() == pytest.approx(3**-0.5, abs=0.02)
    with pytest.raises(HwsimError, match=r"^noise: shape must be one of uniform, normal, got 'gauss'; choose one$"):
        Noise(shape="gauss")


def _codes(model, images):
    codes, handles = {}, []
    for name, module in model.named_modules():
        if isinstance(module, Quantizer) and not name.endswith("weight_quantizer"):
            handles.append(module.register_forward_hook(lambda m, i, o, name=name: codes.update({name: m.codes(i[0])})))
    with torch.no_grad():
        output = model(images)
    for handle in handles:
        handle.remove()
    return codes, output


def test_folded_into_layer_norms_it_makes_the_same_codes(run_stages):
    outcome = run_stages((GRIDS, Noise(fold=False, rows=4)), method=METHOD, bits="w4a4")
    model, images = outcome.model.double(), data.digits("test")[0][:40].double()
    folded = copy.deepcopy(model)
    pairs = [(p.attn.qkv, p.norm1) for p in folded.blocks] + [(p.mlp.fc1, p.norm2) for p in folded.blocks]
    done = [fold(layer, norm) for layer, norm in [*pairs, (folded.head, folded.norm)]]
    assert sum(done) > 5
    (wanted, before), (got, after) = _codes(model, images), _codes(folded, images)
    differing = sum((wanted[name] != got[name]).sum().item() for name in wanted)
    assert differing == 0
    assert torch.allclose(before, after, atol=1e-9)
    for layer, _ in pairs:
        assert not layer.input_quantizer.offset.any()
        assert fold(layer, nn.LayerNorm(48)) is False  # there is none left


def test_the_step_folds_what_a_layer_norm_feeds_alone(run_stages):
    outcome = run_stages((GRIDS, Noise(rows=4)), method=METHOD, bits="w3a3")
    offsets = {n: m.offset for n, m in outcome.model.named_modules() if isinstance(m, Noisy)}
    left = {name for name, offset in offsets.items() if offset.any()}
    assert left
    assert {name.split(".")[-2] for name in left} <= {"proj", "fc2"}
    graph = trace(outcome.model, data.digits("test")[0][:1])
    added = {n.name.removesuffix(".add") for n in graph.nodes if op_name(n.op) == "add" and "quantizer" in n.name}
    assert added == left  # what is folded, or was never there, is no addition
