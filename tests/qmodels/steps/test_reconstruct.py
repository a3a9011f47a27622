import itertools
import re

import pytest
import torch
import torch.nn.functional as F

from hwsim.errors import HwsimError
from qmodels.ptq.stream import Stream
from qmodels.searches.percentile import Percentile
from qmodels.steps.ranges import Ranges
from qmodels.steps.reconstruct import Reconstruct
from tests.qmodels.steps.conftest import Look

RANGES = Ranges(Percentile(), Percentile())


class Enough(Exception):
    pass


@pytest.fixture
def first_block(run_stages):
    """Runs steps on the patch embedding and the first block, grids found before, and gives the unit of the latter."""

    def run(*steps, ranges=RANGES, **more):
        found = {}

        def look(unit):
            found.update({"unit": unit, "notes": found.get("notes", {})})
            unit.note = lambda name, figure: found["notes"].update({f"{unit.name}/{name}": figure})
            if unit.name == "blocks.1":
                raise Enough
            found["before"] = {name: tensor.clone() for name, tensor in unit.model.state_dict().items()}

        own = (Look(look), *steps)
        stages = ((ranges, *own),) if ranges else (own, (RANGES,))  # a grid each in the end
        with pytest.raises(Enough):
            run_stages(*stages, **more)
        found["after"] = found["unit"].model.state_dict()
        return found

    return run


def moved(found):
    """The names of the tensors that were moved in the first block."""
    names = found["before"].keys() - {name for name in found["before"] if name.startswith("blocks.1.")}
    return {name for name in names if not torch.equal(found["before"][name], found["after"][name])}


def test_weights_and_biases_of_the_unit_move_and_nothing_else(first_block):
    found = first_block(Reconstruct(iterations=3))
    layers = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    assert moved(found) == {f"blocks.0.{layer}.{part}" for layer in layers for part in ("weight", "bias")}
    assert not any(parameter.requires_grad for parameter in found["unit"].model.parameters())
    assert all(parameter.grad is None for parameter in found["unit"].model.parameters())


@pytest.mark.parametrize("stream", ["float", "quantized"])
def test_the_output_comes_nearer_to_the_teachers(first_block, stream):
    grown = {}

    @torch.no_grad()
    def measure(unit):
        errors = [
            F.mse_loss(unit.run(x), target) for x, target in zip(unit.batches(stream), unit.targets(), strict=True)
        ]
        grown.setdefault(unit.name, []).append(torch.stack(errors).mean().item())

    steps = (Look(measure), Reconstruct(stream, iterations=20, rate=1e-4), Look(measure))
    found = first_block(*steps, batch=4)
    before, after = grown["blocks.0"]
    assert after < 0.95 * before
    assert found["notes"]["blocks.0/reconstruct_before"] == pytest.approx(before, rel=1e-5)
    assert found["notes"]["blocks.0/reconstruct_after"] == pytest.approx(after, rel=1e-5)


def test_the_first_iteration_goes_against_the_gradient_by_the_rate(first_block, monkeypatch):
    """Adam's first step is the rate, whatever the gradient is, and the gradient is taken here by itself."""
    gradients = {}

    def look(unit):
        weight = unit.model.get_parameter(unit.sites[0].path + ".weight").requires_grad_()
        with torch.enable_grad():
            x, target = next(unit.batches("quantized")), next(unit.targets())
            (gradients[unit.name],) = torch.autograd.grad((unit.run(x) - target).square().mean(), weight)
        weight.requires_grad_(False)

    falling = itertools.count(0, -1)
    monkeypatch.setattr(Reconstruct, "distance", lambda self, unit: next(falling))  # one step may well not help
    found = first_block(Look(look), Reconstruct(iterations=1, rate=1e-3))
    path = "blocks.0.attn.qkv.weight"
    step, gradient = found["after"][path] - found["before"][path], gradients["blocks.0"]
    large = gradient.abs() > 1e-6  # far above Adam's epsilon
    assert large.float().mean() > 0.9
    torch.testing.assert_close(step[large], -1e-3 * gradient[large].sign(), rtol=0, atol=2e-5)


def test_the_rate_falls_to_zero_along_half_a_cosine(first_block, monkeypatch):
    rates, step = [], torch.optim.Adam.step

    def keep(self, *args):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args)

    monkeypatch.setattr(torch.optim.Adam, "step", keep)
    first_block(Reconstruct(iterations=4, rate=2e-4))
    assert rates[4:8] == pytest.approx([2e-4, 1e-4 * (1 + 0.5**0.5), 1e-4, 1e-4 * (1 - 0.5**0.5)])


def test_each_iteration_reads_a_batch_drawn_by_the_seed(first_block, monkeypatch):
    drawn, at = [], Stream.at

    def keep(self, indices):
        drawn.append(tuple(indices.tolist()))
        return at(self, indices)

    monkeypatch.setattr(Stream, "at", keep)
    first_block(Reconstruct(iterations=3, batch=5))
    inputs, targets, once = drawn[::2], drawn[1::2], drawn[:]
    assert inputs == targets
    assert all(len(set(indices)) == 5 for indices in inputs)
    assert len(set(inputs)) > 3
    drawn.clear()
    first_block(Reconstruct(iterations=3, batch=5))
    assert drawn == once
    drawn.clear()
    first_block(Reconstruct(iterations=3, batch=5), seed=1)
    assert drawn != once
    drawn.clear()
    first_block(Reconstruct(iterations=1))
    assert sorted(drawn[-1]) == list(range(8))  # fewer images than a batch: all of them


def test_it_says_how_far_it_is(first_block):
    told = []
    first_block(Reconstruct(iterations=4), progress=lambda p: told.append((p.unit, p.share)))
    assert [round(6 * share % 1, 6) for unit, share in told if unit == "patch_embed"] == [0, 0.25, 0.5, 0.75, 0]
    assert told == sorted(told, key=lambda pair: pair[1])


def test_weights_that_did_not_come_nearer_are_put_back(first_block):
    found = first_block(Reconstruct(iterations=5, rate=1.0))
    assert moved(found) == set()
    assert found["notes"]["blocks.0/reconstruct_before"] == found["notes"]["blocks.0/reconstruct_after"] > 0
    assert moved(first_block(Reconstruct(iterations=2), ranges=None)) == set()  # as near as can be already
    assert moved(first_block(Reconstruct(iterations=0))) == set()


def test_a_distance_that_is_not_finite_stops(first_block):
    line = "patch_embed: the distance must be finite, got inf at iteration 2 of 9; lower --set reconstruct.rate=1e+30"
    with pytest.raises(HwsimError, match=f"^{re.escape(line)}$"):
        first_block(Reconstruct(iterations=9, rate=1e30))


def test_bad_fields_are_said_in_a_line():
    for field, value, rule in (
        ("iterations", -1, "0 or more"),
        ("batch", 0, "1 or more"),
        ("rate", -1.0, "0 or more"),
    ):
        line = f"reconstruct: {field} must be {rule}, got {value}; pass --set reconstruct.{field}=VALUE"
        with pytest.raises(HwsimError, match=f"^{re.escape(line)}$"):
            Reconstruct(**{field: value})
