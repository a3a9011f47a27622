"""Rows of a product are rows of what the module gives, of every kind of module, with and without candidates in front."""

import pytest
import torch
from torch import nn

from qmodels.layers.quant_conv2d import QuantConv2d
from qmodels.layers.quant_linear import QuantLinear
from qmodels.layers.quant_matmul import QuantMatMul
from qmodels.ptq.rows import choose, visit
from qmodels.ptq.site import Site
from tests.qmodels.ptq.test_unit import unit_of

IMAGES = 6


def _float(kind, *more):
    return kind(*more, nn.Identity(), nn.Identity())


def conv(*sizes, same=False, **more):
    return QuantConv2d(nn.Conv2d(*sizes, **more), nn.Identity(), nn.Identity(), same)


CASES = {
    "tokens": (lambda: _float(QuantLinear, nn.Linear(8, 5)), [(IMAGES, 17, 8)], 17),
    "no bias": (lambda: _float(QuantLinear, nn.Linear(8, 5, bias=False)), [(IMAGES, 17, 8)], 17),
    "classes": (lambda: _float(QuantLinear, nn.Linear(8, 5)), [(IMAGES, 8)], 1),
    "windows of tokens": (lambda: _float(QuantLinear, nn.Linear(8, 5)), [(4 * IMAGES, 9, 8)], 36),
    "a map of tokens": (lambda: _float(QuantLinear, nn.Linear(8, 5)), [(IMAGES, 4, 5, 8)], 20),
    "patches": (lambda: conv(3, 5, 4, stride=4), [(IMAGES, 3, 16, 20)], 20),
    "padded": (lambda: conv(3, 5, (3, 2), stride=2, padding=(1, 0), dilation=2), [(IMAGES, 3, 16, 20)], 63),
    "depthwise": (lambda: conv(6, 12, 3, padding=1, groups=6), [(IMAGES, 6, 5, 7)], 35),
    "groups": (lambda: conv(6, 4, 3, padding="same", groups=2, bias=False), [(IMAGES, 6, 5, 7)], 35),
    "valid": (lambda: conv(3, 5, 3, padding="valid"), [(IMAGES, 3, 5, 7)], 15),
    "same behind": (lambda: conv(3, 5, 3, stride=2, same=True), [(IMAGES, 3, 7, 10)], 20),
    "heads": (lambda: _float(QuantMatMul), [(IMAGES, 3, 17, 8), (IMAGES, 3, 8, 11)], 17),
    "windows": (lambda: _float(QuantMatMul), [(4 * IMAGES, 3, 9, 8), (4 * IMAGES, 3, 8, 9)], 9),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("rows", [0, 1, 7, 1000])
def test_they_are_rows_of_the_output(case, rows):
    make, shapes, tokens = CASES[case]
    site, inputs = Site("x", make()), tuple(torch.randn(shape) for shape in shapes)
    chosen = choose(site, inputs, IMAGES, rows, torch.Generator().manual_seed(0))
    a, b = chosen.operands(site, inputs)
    with torch.no_grad():
        output = site.module(*inputs)
        got = chosen.product(site, a, b)
        wanted = chosen.output(site, output)
        assert got.shape[0] == (IMAGES if rows or site.is_layer else len(inputs[0]))
        assert got.shape[-2] == (min(rows, tokens) if rows else tokens)
        assert torch.allclose(got, wanted, atol=1e-5)
        more_a, more_b = torch.randn(3, *a.shape), torch.randn(3, *b.shape)
        for k in range(3):
            assert torch.allclose(chosen.product(site, more_a, b)[k], chosen.product(site, more_a[k], b), atol=1e-4)
            assert torch.allclose(chosen.product(site, a, more_b)[k], chosen.product(site, a, more_b[k]), atol=1e-4)
        if site.is_layer:
            bias = torch.randn(b.shape[0])
            own = 0 if site.module.bias is None else site.module.bias
            assert torch.allclose(chosen.product(site, a, b, bias), got - own + bias, atol=1e-5)


def test_all_rows_are_the_output_and_the_first_is_always_there():
    site, x = Site("x", _float(QuantLinear, nn.Linear(8, 5))), torch.randn(IMAGES, 17, 8)
    every = choose(site, (x,), IMAGES, 0, torch.Generator())
    assert torch.equal(every.output(site, site.module(x)), site.module(x))
    seen = [choose(site, (x,), IMAGES, 5, torch.Generator().manual_seed(k)).places for k in range(30)]
    assert all((places[:, 0] == 0).all() for places in seen)
    assert torch.cat(seen).unique().tolist() == list(range(17))
    assert all((places.diff(dim=1) > 0).all() for places in seen)
    assert not torch.equal(seen[0][0], seen[0][1])  # others in each image


@pytest.mark.parametrize("stream", ["float", "quantized"])
def test_a_visit_compares_with_the_float_model(job, stream):
    unit, seen = unit_of(job, 2), {}

    def action(site, rows, inputs, wanted):
        seen[site.path] = (rows, inputs, wanted)
        _, quantizer = site.operands[0]
        quantizer.set_grid(torch.tensor([0.7]), torch.tensor([8.0]))

    visit(unit, stream, 5, action)
    assert list(seen) == [site.path for site in unit.sites]
    for site in unit.sites:
        rows, inputs, wanted = seen[site.path]
        whole = unit.captured(site.path, "float")
        assert torch.allclose(wanted, rows.output(site, whole.output), atol=1e-5)
        got = unit.captured(site.path, stream).inputs  # the student again, with all that the action did
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(inputs, got, strict=True))
