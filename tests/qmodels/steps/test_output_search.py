"""Searches by output: what they must find where the answer is known, and what they are worth where it is not."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hwsim.errors import HwsimError, UnknownName
from qmodels.candidates import Fractions, Tables, of, reals
from qmodels.layers.quant_conv2d import QuantConv2d
from qmodels.layers.quant_linear import QuantLinear
from qmodels.layers.quant_matmul import QuantMatMul
from qmodels.metrics.cosine import Cosine
from qmodels.metrics.fisher import Fisher
from qmodels.metrics.pearson import Pearson
from qmodels.metrics.squared import Squared
from qmodels.ptq import weights
from qmodels.ptq.rows import choose
from qmodels.ptq.site import Site
from qmodels.quantizers.lsq import Lsq
from qmodels.quantizers.twin_sign import TwinSign
from qmodels.quantizers.twin_uniform import TwinUniform
from qmodels.quantizers.uniform import Uniform
from qmodels.searches.minmax import MinMax
from qmodels.steps.output_search import OutputSearch, Turns, apart, parts_of
from tests.qmodels.steps.conftest import Look

IMAGES = 5
STEP = OutputSearch(candidates=71, low=0.5, high=1.2, rows=0)  # 0.01 apart


def linear(size=1, signed=True, bits=4, bias=True):
    own = (
        Uniform(bits, signed=signed),
        Uniform(bits, signed=True, axis=0 if size > 1 else None, size=size, batched=False),
    )
    return Site("a", QuantLinear(nn.Linear(16, 6, bias=bias), *own))


def turns(site, inputs, wanted=None, metric=None, step=STEP, gradients=None):
    rows = choose(site, inputs, IMAGES, step.rows, torch.Generator().manual_seed(0))
    if wanted is None:
        wanted = rows.product(site, *rows.operands(site, inputs))
    return Turns(step, {metric or Pearson(): 1.0}, site, rows, inputs, wanted, gradients)


def planted(site, inputs, *fractions):
    """The output of grids of so much of the range of each operand; and their scales."""
    scales, operands = [], []
    for (_, quantizer), x, fraction in zip(site.operands, site.values(inputs), fractions, strict=True):
        MinMax()(x, quantizer)
        quantizer.set_grid(quantizer.scale * torch.as_tensor(fraction), quantizer.zero_point)
        scales.append(quantizer.scale.clone())
        operands.append(quantizer(x))
        quantizer.calibrated = False
    with torch.no_grad():
        return site.product(*operands), scales


@pytest.mark.parametrize("metric", [Pearson(), Cosine(), Squared()])
@pytest.mark.parametrize("signed", [True, False])
def test_it_recovers_the_scales_of_an_output_that_is_quantized(metric, signed):
    site, x = linear(signed=signed), torch.randn(IMAGES, 40, 16)
    wanted, scales = planted(site, (x,), 0.63, 0.71)
    turns(site, (x,), wanted, metric).run()
    for (_, quantizer), scale in zip(site.operands, scales, strict=True):
        assert torch.allclose(quantizer.scale, scale, rtol=1e-5)
        assert quantizer.calibrated


def test_it_recovers_those_of_channels_thirds_and_heads_apart():
    x = torch.randn(IMAGES, 40, 16)
    for size, fractions in ((6, [0.5, 0.6, 0.7, 0.8, 0.9, 1.1]), (3, [0.55, 0.8, 0.6])):
        site = linear(size)
        wanted, scales = planted(site, (x,), 0.8, fractions)
        turns(site, (x,), wanted, Squared()).run()
        assert torch.allclose(site.module.input_quantizer.scale, scales[0], rtol=1e-5)
        assert torch.allclose(site.module.weight_quantizer.scale, scales[1], rtol=1e-5)
    site = Site("qk", QuantMatMul(*(Uniform(4, signed=True, axis=1, size=3) for _ in range(2))))
    inputs = torch.randn(IMAGES, 3, 17, 8), torch.randn(IMAGES, 3, 8, 17)
    wanted, scales = planted(site, inputs, [0.6, 0.7, 0.8], [0.65, 0.9, 0.55])
    turns(site, inputs, wanted).run()
    assert torch.allclose(site.module.a_quantizer.scale, scales[0], rtol=1e-5)
    assert torch.allclose(site.module.b_quantizer.scale, scales[1], rtol=1e-5)


def test_a_turn_takes_the_best_that_a_loop_over_layers_finds():
    """By the layer itself, one candidate after the other, and numpy's correlation."""
    site, x = linear(3), torch.randn(IMAGES, 40, 16)
    with torch.no_grad():
        wanted = site.product(x, site.module.weight)
        search = turns(site, (x,))
        start = site.module.weight_quantizer.scale.clone()
        found = {}
        for fraction in torch.linspace(0.5, 1.2, 71):
            site.module.weight_quantizer.set_grid(start * fraction)
            got = site.module(x)
            for k in range(3):
                pairs = ((v[i, :, 2 * k : 2 * k + 2].ravel() for v in (got, wanted)) for i in range(IMAGES))
                score = np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs])
                found.setdefault(k, {})[(start * fraction)[k].item()] = score
        site.module.weight_quantizer.set_grid(start)
        assert search.turn(1, search.found[1])
    for k, scale in enumerate(site.module.weight_quantizer.scale.tolist()):
        assert found[k][scale] > max(found[k].values()) - 1e-6  # two scales may give the same codes
        assert sorted(found[k].values())[-20] < max(found[k].values()) - 1e-5


def test_fisher_looks_where_the_slopes_are():
    site, x = linear(), torch.randn(IMAGES, 40, 16)
    first, _ = planted(site, (x,), 0.6, 0.6)
    second, scales = planted(site, (x,), 0.9, 0.9)
    wanted = torch.cat([first[..., :3], second[..., 3:]], -1)
    gradients = torch.zeros_like(wanted)
    gradients[..., 3:] = torch.randn(IMAGES, 40, 3)
    turns(site, (x,), wanted, Fisher(), gradients=gradients).run()
    assert torch.allclose(site.module.input_quantizer.scale, scales[0], rtol=1e-5)
    assert torch.allclose(site.module.weight_quantizer.scale, scales[1], rtol=1e-5)


def test_it_starts_with_min_max():
    site, x = linear(6, signed=False), torch.rand(IMAGES, 40, 16)
    turns(site, (x,))
    for (_, quantizer), values in zip(site.operands, site.values((x,)), strict=True):
        scale, zero = quantizer.scale.clone(), quantizer.zero_point.clone()
        MinMax()(values, quantizer)
        assert torch.equal(quantizer.scale, scale)
        assert torch.equal(quantizer.zero_point, zero)


def test_what_is_calibrated_is_left_and_what_is_constant_has_some_grid():
    site, x = linear(), torch.zeros(IMAGES, 4, 16)
    site.module.weight_quantizer.set_grid(torch.tensor([0.3]))
    turns(site, (x,)).run()
    assert site.module.weight_quantizer.scale == 0.3
    assert site.module.input_quantizer.scale == 1
    with torch.no_grad():
        site.module.weight.zero_()
    site.module.weight_quantizer.calibrated = site.module.input_quantizer.calibrated = False
    turns(site, (torch.randn(IMAGES, 4, 16),)).run()
    assert site.module.weight_quantizer.scale == 1


@pytest.mark.parametrize("kind", [TwinUniform, TwinSign])
def test_tables_are_tried_one_by_one(kind):
    x = torch.randn(IMAGES, 3, 17, 9)
    x = x.softmax(-1) if kind is TwinUniform else F.gelu(x)
    site = Site("av", QuantMatMul(kind(3), Uniform(4, signed=True)))
    inputs = x, torch.randn(IMAGES, 3, 9, 8)
    search = turns(site, inputs, metric=Squared())
    candidates = search.found[0]
    assert isinstance(candidates, Tables)
    first = site.module.a_quantizer(x)
    assert torch.equal(candidates.rounded(x, 0, 1)[0], first)  # the one of least squared error is the first
    assert candidates.count > 50
    search.run()
    with torch.no_grad():
        a, b = (reals(q, v) for (_, q), v in zip(site.operands, inputs, strict=True))
        wanted = torch.matmul(*inputs)
        errors = [
            (torch.matmul(candidates.rounded(x, k, k + 1)[0], b) - wanted).square().mean()
            for k in range(candidates.count)
        ]
        assert torch.isclose((torch.matmul(a, b) - wanted).square().mean(), min(errors), rtol=1e-4)


def test_a_quantizer_of_another_kind_finds_its_own_grid():
    quantizer, x = Lsq(4, signed=True), torch.randn(50)
    assert of(quantizer, x, 10, 0.5, 1.2) is None
    scale = quantizer.scale.clone()
    quantizer.initialise(x)
    assert torch.equal(scale, quantizer.scale)
    assert isinstance(of(Uniform(4), x, 10, 0.5, 1.2), Fractions)
    with pytest.raises(HwsimError, match=r"^calibration: values must be finite, got 1 NaN"):
        of(Uniform(4), torch.tensor([1.0, torch.nan]), 10, 0.5, 1.2)


def test_candidates_round_as_their_quantizer_does():
    for axis, size in ((None, 1), (0, 6), (0, 3), (1, 5), (-1, 5)):
        quantizer, x = Uniform(3, axis=axis, size=size), torch.randn(6, 5)
        found = of(quantizer, x, 4, 0.5, 0.8)
        scale = quantizer.scale.clone()
        for k, fraction in enumerate((1, 0.5, 0.6, 0.7, 0.8)):
            quantizer.set_grid(scale * fraction, quantizer.zero_point)
            assert torch.allclose(found.rounded(x, k, k + 1)[0], quantizer(x), atol=1e-6)


def test_parts_are_what_hangs_on_a_scale():
    out = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)  # images, heads, rows, values
    assert torch.equal(apart(out, 4, 1), out.reshape(1, 2, 12, 5))
    assert torch.equal(apart(out, 4, 3)[2], out[:, 2])
    layer = out[0]
    assert torch.equal(apart(layer, 3, 5)[3, ..., 0], layer[..., 3])
    assert torch.equal(apart(torch.stack([layer, -layer]), 3, 1)[1, 0], -layer)
    site = linear(6)
    assert [parts_of(site, k, q) for k, (_, q) in enumerate(site.operands)] == [1, 6]
    per_channel = Uniform(4, axis=-1, size=16)
    assert parts_of(site, 0, per_channel) == 1
    conv = Site("c", QuantConv2d(nn.Conv2d(3, 4, 2), Uniform(4, axis=1, size=3), Uniform(4)))
    with pytest.raises(
        HwsimError, match=r"^output_search: the input of a convolution must have one scale, got one per"
    ):
        parts_of(conv, 0, conv.module.input_quantizer)


def _grids(outcome):
    return {name: t.clone() for name, t in outcome.model.state_dict().items() if "quantizer" in name}


SMALL = OutputSearch(candidates=20, rows=4, rounds=2)


def test_a_seed_decides_all_and_rows_are_drawn_by_it(run_stages):
    first, again, other = (_grids(run_stages((SMALL,), seed=seed)) for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_with_float_inputs_no_site_knows_of_the_others(run_stages):
    seen = {}

    def spoil(unit):
        for path, quantizer in unit.quantizers:
            if path.endswith("qkv.input_quantizer"):
                quantizer.set_grid(torch.tensor([9.0]))

    def keep(unit):
        seen.setdefault(unit.name, []).append({p: q.scale.item() for p, q in unit.quantizers if "qkv" not in p})

    for stream in ("float", "quantized"):
        for before in ((), (Look(spoil),)):
            run_stages((*before, dataclasses.replace(SMALL, stream=stream), Look(keep)))
    for of_unit in seen.values():
        assert of_unit[0] == of_unit[1]
    assert seen["blocks.2"][2] != seen["blocks.2"][3]


def _zero_head(monkeypatch):
    make = weights.twin

    def twin(*given):
        model = make(*given)
        with torch.no_grad():
            model.head.weight.zero_()
        return model

    monkeypatch.setattr(weights, "twin", twin)


def test_fisher_refuses_where_no_error_reaches_the_loss(run_stages, monkeypatch):
    _zero_head(monkeypatch)
    with pytest.raises(
        HwsimError,
        match=r"^patch_embed: the loss' gradient by outputs must not be zero .* pass --set output_search\.metric=squared$",
    ):
        run_stages((dataclasses.replace(SMALL, metric="fisher"),))


def test_scores_that_reach_nothing_keep_the_grid_of_their_range():
    site, x = linear(6), torch.randn(IMAGES, 40, 16)
    turns(site, (x,), metric=Fisher(), gradients=torch.zeros(IMAGES, 40, 6)).run()
    for (_, quantizer), values in zip(site.operands, site.values((x,)), strict=True):
        found = quantizer.scale.clone()
        MinMax()(values, quantizer)
        assert torch.equal(quantizer.scale, found)


def test_bad_fields_get_one_line():
    with pytest.raises(UnknownName, match=r"^metric: unknown name, got 'pearso'; known, nearest first: pearson, "):
        OutputSearch(metric="pearso")
    with pytest.raises(HwsimError, match=r"^output_search: low must be above 0 and at most high, got 0\.0 and 1\.2; "):
        OutputSearch(low=0.0)
