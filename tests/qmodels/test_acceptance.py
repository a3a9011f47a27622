"""What every quantizer, and every linear layer on integers, must hold; each by another route than the code's own."""

import copy
import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hwsim import catalog
from hwsim.ops.dequantize import Dequantize
from hwsim.ops.linear import Linear
from hwsim.ops.matmul import MatMul
from hwsim.ops.quantize import Quantize
from hwsim.ops.requantize import Requantize
from hwsim.simulator import simulate
from hwsim.spec import QuantSpec, TensorSpec
from qmodels.layers.irm import Irm
from qmodels.layers.quant_linear import QuantLinear
from qmodels.quantizer import make
from qmodels.quantizers.noisy import Noisy
from qmodels.quantizers.uniform import Uniform
from qmodels.searches.minmax import MinMax
from qmodels.shift_quantizer import ShiftQuantizer
from qmodels.steps.noise import fold
from qmodels.tracing import INPUT, trace

GRIDS = [  # of equal steps; those of tables are in test_shift_quantizer.py
    name
    for name in catalog.names("qmodels.quantizers")
    if not issubclass(catalog.find("qmodels.quantizers", name), ShiftQuantizer)
]


def sweep(quantizer, points=40_001):
    """The distinct values of a dense sweep from far below the grid to far above it, ties included."""
    step, least = quantizer.positive_scale().item(), quantizer.qmin - quantizer.zero_point.item()
    ends = (least - 3) * step, (least + quantizer.qmax - quantizer.qmin + 3) * step
    halves = torch.arange(-2 * quantizer.qmax - 2, 2 * quantizer.qmax + 2, dtype=torch.float64) * step / 2
    offset = 0 if quantizer.offset is None else quantizer.offset
    x = torch.cat([torch.linspace(*ends, points, dtype=torch.float64), halves, torch.tensor([-1e9, 1e9])]) + offset
    with torch.no_grad():
        return quantizer(x).unique(), quantizer.codes(x).unique()


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("signed", [True, False])
def test_every_code_is_reached_and_no_other(name, signed):
    """A learned zero point lies between two codes; released codes that do not round it make 2^b + 1 values."""
    for bits in range(1, 9):
        if (name == "binary") != (signed and bits == 1) or (name == "lsq_plus" and signed):
            continue
        quantizer = make(name, bits, signed=signed).double().eval()
        quantizer.initialise(torch.randn(500, dtype=torch.float64) + 0.4)
        if quantizer.zero_point.requires_grad:
            with torch.no_grad():
                quantizer.zero_point.fill_(2**bits / 3 + 0.4)
        values, codes = sweep(quantizer)
        assert codes.tolist() == ([-1, 1] if name == "binary" else list(range(quantizer.qmin, quantizer.qmax + 1)))
        assert len(values) == len(codes) <= 2**bits


@pytest.mark.parametrize(("learned", "wanted"), [(6.4, 6), (2.5, 2), (99.7, 15), (-3.2, 0)])
def test_a_learned_zero_point_is_a_code_in_the_graph(learned, wanted):
    inputs, weights = make("lsq_plus", 4, signed=False), make("lsq", 4, signed=True, axis=0, size=3, batched=False)
    layer, x = QuantLinear(nn.Linear(5, 3), inputs, weights), torch.randn(7, 5)
    inputs.initialise(x)
    nn.init.constant_(inputs.zero_point, learned)
    graph = trace(layer, x)
    (node,) = (node for node in graph.nodes if isinstance(node.op, Quantize))
    assert node.op.spec.zero_point == (wanted,)
    codes = simulate(graph, {INPUT: x.double().numpy()}, [node.name])[node.name]
    assert np.array_equal(codes, inputs.double().codes(x.double()).numpy())


@pytest.mark.parametrize("training", ["lsq", "module", ""])
@pytest.mark.parametrize(("name", "axis"), [("lsq", None), ("lsq", 1), ("lsq_plus", None), ("lsq_plus", 1)])
def test_gradients_are_finite_differences_of_what_rounding_leaves_smooth(name, axis, training):
    """Inside the grid x + scale r with the residual r of rounding held, outside scale (end - zero point)."""
    size, h = 1 if axis is None else 3, 1e-6
    quantizer = make(name, 3, signed=name == "lsq", axis=axis, size=size, scale_gradient=training or "lsq").double()
    quantizer.train(bool(training))
    x, upstream = 2 * torch.randn(4, 3, 50, dtype=torch.float64), torch.randn(4, 3, 50, dtype=torch.float64)
    quantizer.initialise(x / 2)  # so that some is clipped
    learned = [quantizer.scale] + ([quantizer.zero_point] if name == "lsq_plus" else [])
    x.requires_grad_()
    quantizer(x).backward(upstream)
    with torch.no_grad():
        shape = (1, -1, 1)
        s, z = quantizer.scale.view(shape), quantizer.zero_point.round().view(shape)
        q = (x / s).round() + z
        ends = q.clamp(quantizer.qmin, quantizer.qmax)
        inside, rest = q == ends, (x / s).round() - x / s

        def smooth(x, s, z):
            return torch.where(inside, x + s * rest, s * (ends - z)) * upstream

        def slope(over):
            moved = [torch.tensor(h if k == over else 0.0, dtype=torch.float64) for k in range(3)]
            up, down = (smooth(x + k * moved[0], s + k * moved[1], z + k * moved[2]) for k in (1, -1))
            return (up - down) / (2 * h)

        assert 0.02 < inside.logical_not().double().mean() < 0.5
        torch.testing.assert_close(x.grad, slope(0), rtol=1e-6, atol=1e-6)
        sums = x.abs().sum((0, 2)) / 4 if axis else x.abs().sum() / 4
        elements = 50 if axis else 150
        factor = {"lsq": (elements * quantizer.qmax) ** -0.5, "module": (sums * quantizer.qmax) ** -0.5, "": 1.0}
        for k, parameter in enumerate(learned, 1):
            wanted = slope(k).sum((0, 2)) if axis else slope(k).sum().reshape(1)
            torch.testing.assert_close(parameter.grad, wanted * factor[training], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_irm_brings_up_the_entropy_of_the_codes(bits):
    """As a LayerNorm, for tokens of one sign; `test_irm.py` has the other forms."""
    x = torch.randn(8, 3, 65, 16) * torch.tensor([0.2, 1, 2])[:, None, None] + torch.tensor([3.0, 3, 4])[:, None, None]
    entropies = []
    for values in (x, Irm(16)(x).detach()):
        quantizer = make("lsq", bits, signed=True)
        quantizer.initialise(values)
        share = (quantizer.codes(values).flatten() - quantizer.qmin).bincount() / values.numel()
        entropies.append(-(share[share > 0] * share[share > 0].log2()).sum().item())
    assert bits >= entropies[1] > entropies[0] + 0.1


@pytest.mark.parametrize("signed", [True, False])
def test_noise_in_a_layer_norm_or_added_makes_one_integer_graph(signed):
    """The same codes and the same accumulators; folded, nothing is added at run time."""
    weights = Uniform(4, signed=True, axis=0, size=5, batched=False)
    added = nn.Sequential(
        nn.LayerNorm(6), QuantLinear(nn.Linear(6, 5), Noisy(4, signed=signed, channels=6), weights)
    ).double()
    weights.initialise(added[1].weight)
    x = torch.randn(30, 6, dtype=torch.float64)
    added[1].input_quantizer.set_noise((torch.rand(6) - 0.5).double())
    added[1].input_quantizer.initialise(added[0](x))
    folded = copy.deepcopy(added)
    assert fold(folded[1], folded[0])
    found = []
    for model in (added, folded):
        graph = trace(model, x)
        names = [node.name for node in graph.nodes if isinstance(node.op, Quantize | Linear)]
        values = simulate(graph, {INPUT: x.numpy()}, names)
        found.append((graph, [values[name] for name in names], values[graph.outputs[0]]))
    assert len(found[0][0].nodes) == len(found[1][0].nodes) + 1
    assert [len(values) for _, values, _ in found] == [2, 2]
    assert all(np.array_equal(one, other) for one, other in zip(found[0][1], found[1][1], strict=True))
    np.testing.assert_allclose(found[0][2], found[1][2], rtol=0, atol=1e-12)


def drawn(generator, values, *, signed, axis=None):
    """A quantizer of 2 to 8 bits whose grid is a part of the range of `values`; its numbers are float32's."""
    size = 1 if axis is None else values.shape[axis]
    quantizer = Uniform(int(generator.integers(2, 9)), signed=signed, axis=axis, size=size)
    MinMax()(values.float(), quantizer)
    quantizer.set_grid(quantizer.scale * float(generator.uniform(0.5, 1)), quantizer.zero_point)
    return quantizer.double()


def spec_of(quantizer, shape, *, batched=True):
    """What the simulator is told of a tensor with this quantizer."""
    zeros = tuple(int(zero) for zero in quantizer.zero_point.tolist())
    axis = None if quantizer.axis is None else quantizer.axis % len(shape)
    quant = QuantSpec(quantizer.bits, quantizer.qmin < 0, tuple(quantizer.scale.tolist()), zeros, axis)
    return TensorSpec((1, *shape[1:]) if batched else tuple(shape), quant, batched)


def run(op, *operands):
    """The value and the spec that an operator of the simulator makes of values with their specs."""
    values, specs = zip(*operands, strict=True)
    out = op.infer(specs)
    return op.run(values, specs, out), out


def mismatches(generator, op, product, operands, axis, bias=None):
    """Codes of a product, quantized along `axis`: how many there are; how many differ in integers alone (Requantize), by way
    of reals (Dequantize, Quantize), and, from the latter, in a fake-quant forward in float32."""
    with torch.no_grad():
        fake = product(*(quantizer(x) for quantizer, x, _ in operands))
        out = drawn(generator, fake, signed=bool(generator.integers(2)), axis=axis)
        wanted = out.codes(fake).numpy()
        narrow = product(*(copy.deepcopy(quantizer).float()(x.float()) for quantizer, x, _ in operands))
        in_float32 = copy.deepcopy(out).float().codes(narrow).numpy()
    codes = [
        (quantizer.codes(x).numpy().astype(np.int16), spec_of(quantizer, x.shape, batched=batched))
        for quantizer, x, batched in operands
    ]
    acc, spec = run(op, *codes)
    grid = spec_of(out, fake.shape).quant
    terms = {} if bias is None else {"bias": tuple(bias.tolist()), "bias_axis": len(spec.shape) - 1}
    alone, _ = run(Requantize.between(spec, grid, **terms), (acc, spec))
    real, floats = run(Dequantize(), (acc, spec))
    mixed, _ = run(Quantize(grid), (real if bias is None else real + bias.numpy(), floats))
    assert np.abs(in_float32 - wanted).max() <= 1
    return np.array([wanted.size, *((codes != wanted).sum() for codes in (alone, mixed, in_float32))])


@pytest.mark.parametrize("granularity", ["tensor", "output channel", "head"])
def test_integers_of_a_layer_are_those_of_fake_quantization(granularity):
    """100 layers, weights with a zero point among them; what comes out is per tensor, or as the layer's scales are."""
    counts = np.zeros(4, int)
    for seed, signs in zip(range(100), itertools.cycle(itertools.product([True, False], repeat=2)), strict=False):
        generator = np.random.default_rng(seed)
        x, weight, bias = (
            torch.from_numpy(generator.normal(mean, deviation, shape).astype(np.float32)).double()
            for mean, deviation, shape in ((0.5, 1, (2, 3, 4, 24)), (0, 0.2, (6, 24)), (0, 1, 6))
        )
        a = drawn(generator, x, signed=signs[0], axis=1 if granularity == "head" else None)
        b = drawn(generator, weight, signed=signs[1], axis=0 if granularity == "output channel" else None)
        along = {"tensor": None, "output channel": -1, "head": 1}[granularity] if generator.integers(2) else None
        terms = None if granularity == "head" else bias  # whose channels are others

        def product(x, w, terms=terms):
            return F.linear(x, w, None if terms is None else terms.to(x.dtype))

        counts += mismatches(generator, Linear(), product, ((a, x, True), (b, weight, False)), along, terms)
    assert counts[0] == 100 * 144
    assert counts[1:3].tolist() == [0, 0]
    assert counts[3] < counts[0] / 1000


def test_integers_of_a_product_are_those_of_fake_quantization():
    """Queries times keys, and maps times values: scales and zero points per tensor or per head, on either side."""
    counts = np.zeros(4, int)
    for seed, heads in zip(range(100), itertools.cycle(itertools.product([None, 1], repeat=3)), strict=False):
        generator = np.random.default_rng(seed)
        operands = []
        for shape, axis in (((2, 3, 5, 16), heads[0]), ((2, 3, 16, 5), heads[1])):
            x = torch.from_numpy(generator.normal(0.2, 1, shape).astype(np.float32)).double()
            operands.append((drawn(generator, x, signed=bool(generator.integers(2)), axis=axis), x, True))
        counts += mismatches(generator, MatMul(), torch.matmul, operands, heads[2])
    assert counts[0] == 100 * 150
    assert counts[1:3].tolist() == [0, 0]
    assert counts[3] < counts[0] / 1000
