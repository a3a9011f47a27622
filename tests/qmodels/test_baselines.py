"""The quantizers and methods that the published ones are compared with: how their grids follow the data."""

import pytest
import torch

import workloads
from hwsim.ops.matmul import MatMul
from hwsim.ops.quantize import Quantize
from qmodels import checkpoint, evidence
from qmodels.method import find
from qmodels.quantizer import Quantizer, make
from qmodels.quantizers.minmax import MOMENTUM
from qmodels.training import train

NAMES = ("lsq_plus", "minmax", "pact")


def test_pact_learns_its_scale_from_what_is_clipped_alone():
    pact = make("pact", 3, signed=True).train()
    pact.scale.data.fill_(0.5)  # the grid is -2..1.5
    x = torch.tensor([[-3.0, -2.5, -1.9, -0.3, 0.2, 1.4, 1.6, 2.0]], requires_grad=True)
    weights = torch.tensor([[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]])
    (pact(x) * weights).sum().backward()
    assert x.grad.tolist() == [[0, 0, 4, 8, 16, 32, 0, 0]]
    assert pact.scale.grad.item() == pytest.approx(((64 + 128) * 3 - (1 + 2) * 4) * pact.grad_factor(x), rel=1e-6)


def test_pact_and_lsq_have_one_grid_while_training_and_after():
    x = 3 * torch.randn(4, 2, 50)
    for signed in (True, False):
        lsq, pact = (make(name, 3, signed=signed, axis=1, size=2) for name in ("lsq", "pact"))
        lsq.initialise(x)
        pact.initialise(x)
        for mode in (True, False):
            torch.testing.assert_close(pact.train(mode)(x), lsq.train(mode)(x))
        assert torch.equal(pact.codes(x), lsq.codes(x))


def test_pact_with_a_scale_below_zero_learns_upwards_all_the_same():
    pact = make("pact", 3, signed=False).train()
    pact.scale.data.fill_(-0.5)
    pact(torch.tensor([[9.0]])).sum().backward()
    assert pact.scale.grad.item() < 0  # a step along the gradient widens |scale|


def test_minmax_clips_nothing_and_has_zero_on_its_grid():
    x = torch.randn(8, 100) + 1
    for signed, low, high in ((True, -4, 3), (False, 0, 7)):
        quantizer = make("minmax", 3, signed=signed)
        quantizer.initialise(x)
        codes = quantizer.codes(x)
        assert low <= codes.min() < codes.max() == high
        assert ((quantizer(x) - x).abs() <= quantizer.scale / 2 * (1 if signed else 2) + 1e-6).all()
        assert quantizer(torch.zeros(1, 1)).item() == 0


def test_minmax_follows_activations_slowly_and_weights_at_once():
    activations, weights = (
        make("minmax", 4, signed=False).train(),
        make("minmax", 4, signed=True, batched=False).train(),
    )
    for quantizer in (activations, weights):
        quantizer.initialise(torch.tensor([[-1.0, 2.0]]))
        quantizer(torch.tensor([[-2.0, 7.0]]))
    assert activations.high.item() == pytest.approx(2 * MOMENTUM + 7 * (1 - MOMENTUM))
    assert activations.scale.item() == pytest.approx((activations.high - activations.low).item() / 15)
    assert weights.scale.item() == pytest.approx(1.0)
    before = activations.scale.clone()
    activations.eval()(torch.tensor([[-50.0, 50.0]]))
    assert torch.equal(activations.scale, before)


def test_minmax_has_nothing_to_learn_but_a_state_to_keep():
    quantizer = make("minmax", 4, signed=False, axis=1, size=3)
    quantizer.initialise(torch.randn(2, 3, 20))
    assert not any(parameter.requires_grad for parameter in quantizer.parameters())
    assert set(quantizer.state_dict()) == {"scale", "zero_point", "low", "high"}
    x = torch.randn(2, 3, 20, requires_grad=True)
    quantizer.train()
    (quantizer(x) + quantizer(2 * x)).sum().backward()  # two forwards, then the gradient
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["pact", "minmax"])
def test_one_bit_has_no_sign(name):
    with pytest.raises(ValueError, match=f"{name}: signed codes need 2 bits or more, got 1; use binary"):
        make(name, 1, signed=True)


@pytest.mark.parametrize("name", NAMES)
def test_a_baseline_is_lsq_but_for_its_grids(name):
    lsq, method = find("lsq"), find(name)
    slots = ("weights", "inputs", "qkv", "softmax")
    changed = {key for key in method.__slots__ if getattr(method, key) != getattr(lsq, key)}
    assert changed <= {"name", "deviations", *slots}
    assert (method.labels, method.distillation) == (1.0, 1.0)


@pytest.mark.parametrize("name", NAMES)
def test_a_baseline_is_traced_to_integers(name):
    workload = workloads.find(f"digits_deit_w4a4_{name}")
    graph = evidence.graph_of(workload)
    products = [node.op for node in graph.nodes if isinstance(node.op, MatMul)]
    assert len(products) == 8
    offset = {graph.specs[node.name].quant.zero_point for node in graph.nodes if isinstance(node.op, Quantize)}
    assert (offset == {(0,)}) == (name == "pact")
    assert {node.name for node in evidence.skeleton_of(workload).nodes} == {node.name for node in graph.nodes}


@pytest.mark.parametrize("name", NAMES)
def test_a_baseline_learns_in_the_same_loop(name, tmp_path):
    out = tmp_path / "c.safetensors"
    told = []
    changes = {"epochs": "2", "images": "64", "batch": "32", "validate": "0"}
    train("digits_deit_w3a3", method=name, changes=changes, out=out, progress=told.append)
    assert told[-1].loss < told[1].loss
    model, workload = checkpoint.load(out)
    assert workload.name == f"digits_deit_w3a3_{name}"
    assert all(m.calibrated for m in model.modules() if isinstance(m, Quantizer))
