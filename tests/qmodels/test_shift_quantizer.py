"""Quantizers of tables against the simulator's Quantize, and what their searches find. The grids: tests/hwsim/grids."""

import json

import numpy as np
import pytest
import torch
from tables import CASES, TABLES, calibrated, softmax
from torch import nn

import workloads
from hwsim.errors import BadFile, HwsimError
from hwsim.grids.log2 import log2
from hwsim.grids.sulq import sulq
from hwsim.ops.quantize import Quantize
from hwsim.spec import ShiftSpec, TensorSpec
from qmodels import checkpoint
from qmodels.fake_quantize import PAD, shift_quantize
from qmodels.quantizer import make
from qmodels.shift_quantizer import ShiftQuantizer
from qmodels.tracing import trace


def _sweep(grid):
    """Reals (1, n): every boundary with both its neighbours, and all there is between and beyond."""
    edges = np.array(grid.boundaries)
    low, high = grid.values().min(), grid.values().max()
    steps = [edges, np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf), np.linspace(low - 3, high + 3, 20011)]
    return np.concatenate([*steps, high * np.geomspace(1e-9, 3, 2000)])[None] * grid.scale[0]


@pytest.mark.parametrize(("name", "bits"), CASES)
@pytest.mark.parametrize("fresh", [True, False])
def test_codes_and_reals_are_the_simulators(name, bits, fresh):
    """In float64 exactly, on boundaries too, where the larger value is taken; never more codes than bits can hold."""
    quantizer = (make(name, bits, signed=False) if fresh else calibrated(name, bits)).double()
    grid = quantizer.spec()
    x = _sweep(grid)
    codes = Quantize(grid).run((x,), (TensorSpec(x.shape),), TensorSpec(x.shape, grid))
    assert np.array_equal(codes, quantizer.codes(torch.from_numpy(x)).numpy())
    assert np.array_equal(grid.to_real(codes), quantizer(torch.from_numpy(x)).numpy())
    assert 2 <= len(np.unique(codes)) == len(grid.order()) <= 2**bits


@pytest.mark.parametrize(("name", "bits"), CASES)
def test_float32_is_near_and_of_as_few_codes(name, bits):
    quantizer = calibrated(name, bits)
    x = torch.from_numpy(_sweep(quantizer.spec())).float()
    assert quantizer(x).dtype == torch.float32
    assert len(quantizer.codes(x).unique()) <= 2**bits
    values = torch.from_numpy(quantizer.spec().values())[quantizer.codes(x).long()]
    assert torch.equal(quantizer(x), values.float() * (quantizer.scale * quantizer.unit.float()))
    between = x[:, -22011:]
    assert (quantizer.codes(between) != quantizer.double().codes(between.double())).float().mean() < 0.001


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("bits", [3, 8])
def test_traced_it_is_one_node_with_the_table(name, bits):
    """Alone, and per head."""
    for axis, size in ((None, 1), (1, 3)):
        quantizer = make(name, bits, signed=False, axis=axis, size=size)
        quantizer.initialise(softmax(4, 3, 7, 9) * torch.tensor([1.0, 0.5, 0.1])[:, None, None])
        graph = trace(nn.Sequential(quantizer, nn.Softmax(-1)), torch.zeros(2, 3, 7, 9))
        first, spec = graph.nodes[0], quantizer.double().spec()
        assert isinstance(first.op, Quantize)
        assert (first.op.spec.significand, first.op.spec.shift, first.op.spec.zero) == (
            spec.significand,
            spec.shift,
            spec.zero,
        )
        assert (first.op.spec.boundaries, first.op.spec.axis) == (spec.boundaries, axis)
        assert first.op.spec.scale == tuple((quantizer.scale * quantizer.unit).tolist())
        x = torch.rand(2, 3, 7, 9, dtype=torch.float64)
        inputs = (TensorSpec((1, 3, 7, 9)),)
        codes = first.op.run((x.numpy(),), inputs, first.op.infer(inputs))
        assert np.array_equal(codes, quantizer.codes(x).numpy())


@pytest.mark.parametrize("name", TABLES)
def test_a_model_without_numbers_has_the_grid_to_start_with(name):
    for axis, size in ((None, 1), (1, 3)):
        graphs = []
        for device in ("cpu", "meta"):
            model = nn.Sequential(make(name, 4, signed=False, axis=axis, size=size), nn.Softmax(-1)).to(device)
            graphs.append(trace(model, torch.zeros(2, 3, 7, 9)))
        assert graphs[0].nodes[0].op == graphs[1].nodes[0].op
        assert str(graphs[0]) == str(graphs[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("axis", [None, 1])
def test_opcheck(dtype, axis):
    x = torch.randn(2, 3, 4, 5, dtype=dtype).permute(0, 2, 1, 3)[:, :3].requires_grad_()  # neither dense nor contiguous
    quantizer = make("sulq", 3, signed=False, axis=axis, size=1 if axis is None else 3)
    numbers = (quantizer.boundaries, quantizer.significand, quantizer.shift, quantizer.zero)
    torch.library.opcheck(shift_quantize, (x, quantizer._step(x), *numbers, axis, "sulq"))


def test_gradients_pass_where_nothing_is_clamped():
    """As the reference counts it: beyond an end by more than half of the last step. Values 8, 4, 2, 1, in eighths."""
    quantizer = make("log2", 2, signed=False)
    quantizer.flag = False
    quantizer.set_table(log2(2, zero=False))
    x = torch.tensor([-1.0, 0.06, 0.07, 0.3, 1.0, 1.24, 1.26], requires_grad=True)
    quantizer(x).backward(torch.arange(1.0, 8.0))
    assert x.grad.tolist() == [0, 0, 3, 4, 5, 6, 0]
    assert not any(p.requires_grad for p in quantizer.parameters())


def test_wrong_arguments():
    for name in TABLES:
        with pytest.raises(
            HwsimError, match=f"^{name}: codes are indices of a table, got signed ones; use {name}:unsigned$"
        ):
            make(name, 4, signed=True)
    with pytest.raises(HwsimError, match=r"^twin_sign: bits must be 2\.\.8, got 1; use uniform$"):
        make("twin_sign", 1, signed=False)
    with pytest.raises(HwsimError, match=r"^log2: bits must be 1\.\.8, got 10; use uniform$"):
        make("log2", 10, signed=False)
    with pytest.raises(ValueError, match=r"^log2: it has 3 bits and 1 scales, got 4 and 1$"):
        make("log2", 3, signed=False).set_table(log2(4))
    with pytest.raises(HwsimError, match=r"^calibration: values must be finite, got 0 NaN and 1 infinite of 2; "):
        make("log2", 4, signed=False).initialise(torch.tensor([1.0, torch.inf]))


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A model whose softmax outputs are on tables that a search would not find, in a checkpoint."""
    workload = workloads.find("digits_deit_w4a4_lsq")
    options = {"softmax": "sulq:unsigned", "gelu": "twin_sign:unsigned", "inputs": "noisy:unsigned"}
    model = checkpoint.empty(workload, options)
    planted = ShiftSpec(4, (0.01,), (3, *range(1, 16)), (1, *(0,) * 15), tuple(np.arange(1.5, 15)))
    for module in model.modules():
        if isinstance(module, ShiftQuantizer):
            module.set_table(sulq(4, 0.7, eta=3) if module.kind == "sulq" else planted)
        elif getattr(module, "channelled", False):
            module.set_noise(torch.rand(module.offset.shape))
            module.set_grid(torch.rand(1) + 0.1, torch.tensor([3.0]))
    path = tmp_path / "model.safetensors"
    checkpoint.save(model, workload.name, path, {"switches": json.dumps(options)})
    return model, path


def test_a_checkpoint_restores_the_codes(stored):
    model, path = stored
    again, _ = checkpoint.load(path)
    for (name, one), (_, two) in zip(model.named_modules(), again.named_modules(), strict=True):
        if isinstance(one, ShiftQuantizer) or getattr(one, "channelled", False):
            x = 2 * torch.rand(50, getattr(one, "offset", None).numel() if one.offset is not None else 1)
            assert torch.equal(one.codes(x), two.codes(x)), name
            assert torch.equal(one(x), two(x)), name
            assert two.calibrated


def test_a_checkpoint_of_no_grid_is_refused(stored):
    _, path = stored
    tensors, metadata = checkpoint.read(path)
    name = next(key for key in tensors if key.endswith("a_quantizer.boundaries") and ".av." in key)
    tensors[name].fill_(PAD)
    model, _ = checkpoint.load(path)
    with pytest.raises(BadFile) as caught:
        checkpoint.fill(model, tensors, path)
    assert str(caught.value).startswith(
        f"{path}: {name.removesuffix('.boundaries')} must hold the table of a grid, got ShiftSpec: a boundary must lie "
    )
    assert str(caught.value).endswith("; make one with `hwsim train`")
    assert metadata["workload"] == "digits_deit_w4a4_lsq"
