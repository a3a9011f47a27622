"""Small graphs built by hand, and how tests of the core draw grids and codes and compute with unbounded integers."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from hwsim.graph import Node, build
from hwsim.kernels import choose
from hwsim.ops.add import Add
from hwsim.ops.dequantize import Dequantize
from hwsim.ops.gelu import Gelu
from hwsim.ops.layernorm import LayerNorm
from hwsim.ops.linear import Linear
from hwsim.ops.quantize import Quantize
from hwsim.ops.softmax import Softmax
from hwsim.plan import plan
from hwsim.simulator import run_node, simulate
from hwsim.spec import QuantSpec, ShiftSpec, TensorSpec

settings.register_profile("hwsim", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("hwsim")


class Draw:
    """Draws grids and codes; `data` is what `st.data()` gives."""

    def grid(self, data, bits=None, axis=None, channels=1):
        """A QuantSpec of 1..8 bits with zero points anywhere, often at the ends of the range."""
        bits = bits or data.draw(st.integers(1, 8), label="bits")
        bare = QuantSpec(bits, data.draw(st.booleans(), label="signed"), (1.0,), (0,))
        count = 1 if axis is None else channels
        zero = st.sampled_from((0, bare.qmin, bare.qmax)) | st.integers(bare.qmin, bare.qmax)
        scales = data.draw(st.lists(st.sampled_from((0.5, 0.037, 1.0, 3e-3)), min_size=count, max_size=count))
        zeros = data.draw(st.lists(zero, min_size=count, max_size=count), label="zero points")
        return QuantSpec(bits, bare.signed, tuple(scales), tuple(zeros), axis)

    def shift_grid(self, data, axis=None, channels=1):
        """A ShiftSpec of 1..4 bits with any table of two distinct values or more, boundaries anywhere between them."""
        bits = data.draw(st.integers(1, 4), label="bits")
        zero = data.draw(st.sampled_from((0, 1, -5, 300)), label="zero")
        entry = st.tuples(st.integers(-9, 9), st.integers(0, 6))
        different = st.lists(entry, min_size=1 << bits, max_size=1 << bits).filter(
            lambda table: len({significand << shift for significand, shift in table}) > 1
        )
        table = data.draw(different, label="significands and shifts")
        values = sorted({(significand << shift) - zero for significand, shift in table})
        weights = data.draw(st.lists(st.floats(0.05, 0.95), min_size=len(values) - 1, max_size=len(values) - 1))
        boundaries = [low + w * (high - low) for low, high, w in zip(values, values[1:], weights, strict=False)]
        count = 1 if axis is None else channels
        scales = data.draw(st.lists(st.sampled_from((0.5, 0.037, 3e-3)), min_size=count, max_size=count))
        return ShiftSpec(bits, tuple(scales), *zip(*table, strict=True), tuple(boundaries), zero, axis)

    def codes(self, data, spec, images=1):
        """Codes of a TensorSpec in their container: at random, or at the ends of the range alone."""
        shape = (images * spec.shape[0], *spec.shape[1:]) if spec.batched else spec.shape
        generator = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
        low, high = spec.quant.qmin, spec.quant.qmax
        if data.draw(st.booleans(), label="extremes"):
            return generator.choice([low, high], shape).astype(spec.quant.container)
        return generator.integers(low, high + 1, shape).astype(spec.quant.container)

    def tensor(self, data, shape, *, batched=True, images=1, axis=None, bits=None):
        """Codes with their TensorSpec."""
        spec = TensorSpec(shape, self.grid(data, bits, axis, shape[axis] if axis is not None else 1), batched)
        return self.codes(data, spec, images), spec


@pytest.fixture(scope="session")
def draw():
    return Draw()


@pytest.fixture(scope="session")
def exact():
    """The integers that codes stand for (less their zero points, or by S14's table), as an object array of Python's."""

    def centre(codes, spec):
        if isinstance(spec.quant, ShiftSpec):
            grid = spec.quant
            table = [
                significand * 2**shift - grid.zero
                for significand, shift in zip(grid.significand, grid.shift, strict=True)
            ]
            return np.array(table, dtype=object)[codes]
        zeros = np.array(spec.quant.zero_point, dtype=object)
        if spec.quant.axis is not None:
            zeros = zeros.reshape((-1,) + (1,) * (codes.ndim - spec.quant.axis - 1))
        return codes.astype(object) - zeros

    return centre


@pytest.fixture(scope="session")
def apply():
    """Infer and run an operator on (value, spec) pairs; the value and spec of the result."""

    def call(op, *operands):
        specs = tuple(spec for _, spec in operands)
        out = op.infer(specs)
        return op.run(tuple(value for value, _ in operands), specs, out), out

    return call


@pytest.fixture(scope="session")
def floats():
    """A float value with its spec; the leading axis counts images unless it is a constant."""

    def wrap(array, *, batched=True):
        array = np.asarray(array, dtype=np.float64)
        return array, TensorSpec((1, *array.shape[1:]) if batched else array.shape, None, batched)

    return wrap


def _constant(array, quant=None):
    return array, TensorSpec(array.shape, quant, batched=False)


@pytest.fixture
def mlp():
    """Three tokens of five features: norm, W4A4 fc1, gelu, W4A4 fc2, residual, softmax."""
    generator = np.random.default_rng(7)
    w1 = QuantSpec(4, True, tuple(0.01 * (i + 1) for i in range(7)), (0,) * 7, 0)
    w2 = QuantSpec(4, True, (0.0625,))
    constants = {
        "norm.weight": _constant(generator.normal(1, 0.1, 5)),
        "norm.bias": _constant(generator.normal(0, 0.1, 5)),
        "fc1.weight": _constant(generator.integers(-8, 8, (7, 5)).astype(np.int8), w1),
        "fc1.bias": _constant(generator.normal(0, 0.1, 7)),
        "fc2.weight": _constant(generator.integers(-8, 8, (5, 7)).astype(np.int8), w2),
        "fc2.bias": _constant(generator.normal(0, 0.1, 5)),
    }
    nodes = [
        Node("norm", LayerNorm(), ("x", "norm.weight", "norm.bias")),
        Node("fc1.x", Quantize(QuantSpec(4, False, (0.25,), (7,))), ("norm",)),
        Node("fc1.acc", Linear(), ("fc1.x", "fc1.weight")),
        Node("fc1.real", Dequantize(), ("fc1.acc",)),
        Node("fc1", Add(), ("fc1.real", "fc1.bias")),
        Node("act", Gelu(), ("fc1",)),
        Node("fc2.x", Quantize(QuantSpec(4, False, (0.125,), (2,))), ("act",)),
        Node("fc2.acc", Linear(), ("fc2.x", "fc2.weight")),
        Node("fc2.real", Dequantize(), ("fc2.acc",)),
        Node("fc2", Add(), ("fc2.real", "fc2.bias")),
        Node("residual", Add(), ("x", "fc2")),
        Node("scores", Softmax(), ("residual",)),
    ]
    return build("mlp", {"x": TensorSpec((1, 3, 5))}, constants, nodes, ["scores"], {"bits": "W4A4"})


@pytest.fixture
def images():
    """Eleven inputs of the mlp."""
    return np.random.default_rng(3).normal(0, 2, (11, 3, 5))


@pytest.fixture
def fused(monkeypatch):
    """`fused(graph, feeds, keep)`: the nodes of each step of the plan, by name. What it computes is, bit for bit, what the
    nodes do one by one with the oracle's products: on every tier here, for any chunk and number of threads."""

    def equal(values, wanted):
        assert values.keys() == wanted.keys()
        for name, value in values.items():
            assert value.dtype == wanted[name].dtype, name
            np.testing.assert_array_equal(value, wanted[name], err_msg=name)

    def run(graph, feeds, keep=(), tiers=None, ways=((1, 1), (4, 2), (7, 1), (2, 3)), **arguments):
        monkeypatch.setenv(choose.VARIABLE, "oracle")
        one_by_one = lambda graph, node, values: run_node(graph, node, values)  # noqa: E731
        wanted = simulate(graph, feeds, keep, threads=1, execute=one_by_one, **arguments)
        for tier in tiers or choose.usable():
            monkeypatch.setenv(choose.VARIABLE, tier)
            for chunk, threads in ways:
                equal(simulate(graph, feeds, keep, chunk=chunk, threads=threads, **arguments), wanted)
        steps = plan(graph, (*keep, *arguments.get("replace", ()))).steps
        monkeypatch.undo()
        return [tuple(node.name for node in step.nodes) for step in steps]

    return run
