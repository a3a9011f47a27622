"""Counting codes that go back and forth, on sequences whose answer is known, and against a restatement by loops."""

import pytest
import torch
from torch import nn

from qmodels.layers.quant_linear import QuantLinear
from qmodels.oscillation import MOMENTUM, THRESHOLD, Oscillation
from qmodels.quantizer import make
from qmodels.training.observer import Moment


def _model(rows, columns):
    layer = nn.Linear(columns, rows)
    weights = make("lsq", 3, signed=True, batched=False)
    return nn.Sequential(QuantLinear(layer, nn.Identity(), weights))


def _watch(codes, observer=None):
    """An observer that has seen the weight codes of each step, `codes` (T, rows, columns)."""
    observer = observer or Oscillation({"method": "lsq", "seed": "0"})
    model = _model(*codes.shape[1:])
    for step, now in enumerate(codes, 1):
        model[0].weight.data.copy_(now)  # scale 1: the weights are their codes
        observer.on_step(Moment(model, "w", step, 1, 0.5))
    return observer, model


def _frequency(sequence):
    """By the definition, one weight at a time."""
    f, last, before = 0.0, 0, sequence[0]
    for code in sequence[1:]:
        moved = (code > before) - (code < before)
        f = (1 - MOMENTUM) * f + MOMENTUM * (moved * last == -1)
        last, before = moved or last, code
    return f


def _values(records, node=""):
    return {r.metric: r.value for r in records if r.node == node}


@pytest.mark.parametrize(
    ("sequence", "oscillations", "flips"),
    [
        ([0, 1, 0, 1, 0], 3, 4),  # the first flip goes back from nowhere
        ([0, 1, 2, 3], 0, 3),  # one way
        ([0, 1, 1, 1, 0, 0, 1], 2, 3),  # resting between
        ([2, 2, 2], 0, 0),
        ([0, 3, -4, 3], 2, 3),  # several codes at once
    ],
)
def test_what_goes_back_and_forth_is_counted(sequence, oscillations, flips):
    observer, model = _watch(torch.tensor(sequence).float().reshape(-1, 1, 1))
    values = _values(observer.on_epoch(Moment(model, "w", len(sequence), 1, 0.5)))
    assert (values["oscillation_frequency"] > 0) == (oscillations > 0)
    assert values["oscillation_frequency"] == pytest.approx(_frequency(sequence), rel=1e-5)
    assert values["flipped"] == pytest.approx(flips / len(sequence))
    assert values["oscillating"] == float(_frequency(sequence) > THRESHOLD)


def test_many_weights_at_once_equal_the_loop():
    codes = torch.randint(-4, 4, (60, 5, 7))
    codes[30:, :3] = codes[30, :3]  # some come to rest
    observer, model = _watch(codes.float())
    expected = [_frequency(codes[:, i, j].tolist()) for i in range(5) for j in range(7)]
    assert observer.layers["0"].frequency.flatten().tolist() == pytest.approx(expected, rel=1e-4)
    values = _values(observer.on_epoch(Moment(model, "w", 60, 1, 0.5)), node="0")
    assert values["oscillating"] == sum(f > THRESHOLD for f in expected) / 35
    assert values["flipped"] == pytest.approx((codes[1:] != codes[:-1]).sum().item() / 60 / 35)


def test_records_say_where_and_when_and_flips_begin_anew():
    observer, model = _watch(torch.tensor([0, 1, 0]).float().reshape(-1, 1, 1))
    model.add_module("1", _model(2, 1)[0])
    observer.on_step(Moment(model, "w", 4, 1, 0.5))
    first = observer.on_epoch(Moment(model, "w", 4, 1, 0.5))
    assert [(r.metric, r.node) for r in first] == [
        (metric, node) for node in ("", "0", "1") for metric in ("oscillating", "oscillation_frequency", "flipped")
    ]
    assert first[0].tags == (("epoch", "1"), ("method", "lsq"), ("seed", "0"), ("step", "4"))
    assert (first[0].workload, first[0].unit, first[0].source) == ("w", "fraction", "measured")
    whole, part = _values(first), _values(first, "0")
    assert whole["oscillation_frequency"] == pytest.approx(part["oscillation_frequency"] / 3)
    observer.on_step(Moment(model, "w", 5, 2, 0.5))
    assert _values(observer.on_epoch(Moment(model, "w", 5, 2, 0.5)))["flipped"] == 0


def test_it_goes_on_from_its_state():
    codes = torch.randint(-4, 4, (20, 3, 3)).float()
    whole, model = _watch(codes)
    kept = {name: tensor.clone() for name, tensor in _watch(codes[:9])[0].state().items()}
    resumed = Oscillation({"method": "lsq", "seed": "0"})
    resumed.restore(kept)
    _watch(codes[9:], resumed)
    moment = Moment(model, "w", 20, 1, 0.5)
    assert whole.on_epoch(moment) == resumed.on_epoch(moment)


def test_float_weights_have_nothing_to_count():
    observer, moment = Oscillation(), Moment(nn.Linear(2, 2), "w", 1, 1, 0.5)
    observer.on_step(moment)
    assert observer.on_epoch(moment) == []


def test_watching_changes_nothing():
    model = _model(4, 4)
    before, random = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    Oscillation().on_step(Moment(model, "w", 1, 1, 0.5))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(p.grad is None for p in model.parameters())
