"""Scales that are powers of two: found by what they do to a product's output."""

import dataclasses

import pytest
import torch

from hwsim.errors import HwsimError
from qmodels.method import Slot
from qmodels.quantizers.uniform import Uniform
from qmodels.searches.power_of_two import PowerOfTwo
from qmodels.steps.power_scales import PowerScales
from tests.qmodels.steps.conftest import NOTHING, Look

SIGNED = Slot("uniform", True)
SYMMETRIC = dataclasses.replace(NOTHING, weights=SIGNED, inputs=SIGNED, qkv=SIGNED)


def scaled(quantizer, x, factor):
    """`x` on the grid of `quantizer` with its scale times `factor`, written out; zero points follow the scale."""
    s = quantizer.scale * factor
    s = s if quantizer.axis is None else s.reshape(-1, *(1,) * (x.dim() - 1))
    return (x / s).round().clamp(quantizer.qmin, quantizer.qmax) * s


def test_no_other_exponent_in_reach_has_less_error(run_stages):
    sites = {"patch_embed.proj", "blocks.0.attn.qk", "blocks.0.mlp.fc1", "blocks.0.mlp.fc2", "head"}
    told, gains = set(), []

    @torch.no_grad()
    def look(unit):
        for site in (site for site in unit.sites if site.path in sites):
            a, b = site.values(unit.captured(site.path, "quantized").inputs)
            wanted = site.product(a, b)
            for x, other, first in ((a, b, True), (b, a, False)):
                quantizer = site.operands[0 if first else 1][1]

                def error(factor, x=x, other=other, first=first, quantizer=quantizer, site=site, wanted=wanted):
                    pair = (scaled(quantizer, x, factor), other) if first else (other, scaled(quantizer, x, factor))
                    square = (site.product(*pair) - wanted).square()
                    if quantizer.axis is None:
                        return square.sum()
                    return square.movedim(1 if square.dim() == 4 else -1, 0).flatten(1).sum(1)

                range_scale = x.abs().reshape(len(quantizer.scale) if quantizer.axis == 0 else 1, -1).amax(1)
                floor = torch.maximum(range_scale / -quantizer.qmin, range_scale / quantizer.qmax).log2().floor()
                for k in (-1, 0, 1, 2):
                    other_error = error(torch.exp2(floor + k) / quantizer.scale)
                    assert (error(1.0) <= other_error * (1 + 1e-4) + 1e-9).all(), (site.path, k)
                gains.append((error(1.0) / error(torch.exp2(floor + 1) / quantizer.scale)).min().item())
                told.add((site.path, first))

    run_stages((PowerScales(), Look(look)), method=SYMMETRIC)
    assert len(told) == 10
    assert min(gains) < 0.7  # where clipping is better, it is found


def test_every_scale_is_a_power_of_two_and_sites_see_those_before_them(run_stages):
    told = []
    outcome = run_stages((PowerScales(), Look(lambda unit: told.append(unit.name))), method=SYMMETRIC)
    quantizers = [module for module in outcome.model.modules() if isinstance(module, Uniform)]
    assert len(quantizers) == 18 * 2 + 8 * 2
    assert all((torch.frexp(quantizer.scale)[0] == 0.5).all() for quantizer in quantizers)
    assert len(told) == 6


@pytest.mark.parametrize("rounding", ["nearest", "ceil", "floor"])
def test_other_roundings_are_those_of_the_search(run_stages, rounding):
    found = {}

    @torch.no_grad()
    def look(unit):
        for site in unit.sites if unit.index == 1 else ():
            operands = site.values(unit.captured(site.path, "quantized").inputs)
            for (name, quantizer), x in zip(site.operands, operands, strict=True):
                again = type(quantizer)(
                    quantizer.bits,
                    signed=quantizer.qmin < 0,
                    axis=quantizer.axis,
                    size=quantizer.scale.numel(),
                    batched=quantizer.batched,
                )
                PowerOfTwo(rounding)(x, again)
                found[f"{site.path}.{name}"] = torch.equal(again.scale, quantizer.scale)

    run_stages((PowerScales(rounding=rounding), Look(look)), method=SYMMETRIC)
    assert len(found) == 12
    assert all(found.values())


def test_bad_fields(run_stages):
    with pytest.raises(HwsimError, match="power_scales: low must be at most high, got 3 and 2; swap them"):
        PowerScales(low=3)
    with pytest.raises(
        HwsimError, match="power_scales: rounding must be one of search, nearest, ceil, floor, got 'up'; choose one"
    ):
        run_stages((PowerScales(),), method=SYMMETRIC, changes={"power_scales.rounding": "up"})
