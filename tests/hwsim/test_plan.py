"""A plan computes what its graph says: random graphs, with every fusion, against their nodes one by one."""

import gc
import weakref

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwsim.errors import IllegalModel
from hwsim.graph import Node, build
from hwsim.kernels import choose
from hwsim.ops.add import Add
from hwsim.ops.dequantize import Dequantize
from hwsim.ops.gelu import Gelu
from hwsim.ops.layernorm import LayerNorm
from hwsim.ops.linear import Linear
from hwsim.ops.matmul import MatMul
from hwsim.ops.mul import Mul
from hwsim.ops.quantize import Quantize
from hwsim.ops.requantize import Requantize
from hwsim.ops.reshape import Reshape
from hwsim.ops.softmax import Softmax
from hwsim.ops.tablesoftmax import TableSoftmax
from hwsim.ops.transpose import Transpose
from hwsim.plan import plan
from hwsim.simulator import simulate
from hwsim.spec import QuantSpec, TensorSpec

STREAM = QuantSpec(16, True, (0.02,))
TOKENS, CHANNELS = 5, 16


class Sketch:
    """A graph that grows by pieces: tokens of codes (1, T, C), streams of 16 bits, floats; every value may be read again."""

    def __init__(self, draw):
        self.draw = draw
        self.generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.grid = self._grid()
        self.specs = {"x": TensorSpec((1, TOKENS, CHANNELS), self.grid)}
        self.constants, self.nodes = {}, []
        self.codes, self.streams, self.floats = ["x"], [], []

    def _grid(self):
        bits, signed = self.draw(st.integers(1, 8)), self.draw(st.booleans())
        bare = QuantSpec(bits, signed, (0.1,))
        return QuantSpec(bits, signed, (0.1,), (self.draw(st.integers(bare.qmin, bare.qmax)),))

    def add(self, op, *inputs):
        name = f"n{len(self.nodes)}"
        self.nodes.append(Node(name, op, inputs))
        self.specs[name] = op.infer(tuple(self.specs[i] for i in inputs))
        return name

    def constant(self, array, quant=None):
        name = f"c{len(self.constants)}"
        self.specs[name] = TensorSpec(array.shape, quant, batched=False)
        self.constants[name] = array, self.specs[name]
        return name

    def pick(self, names):
        return self.draw(st.sampled_from(names))

    def linear(self, x, columns):
        bits, zeros = self.draw(st.integers(1, 8)), self.draw(st.sampled_from((1, columns)))
        bare = QuantSpec(bits, True, (0.1,))
        zero = self.generator.integers(bare.qmin, bare.qmax + 1, zeros) * self.draw(st.integers(0, 1))
        grid = QuantSpec(bits, True, (0.1,) * zeros, tuple(zero.tolist()), 0 if zeros > 1 else None)
        weight = self.generator.integers(bare.qmin, bare.qmax + 1, (columns, self.specs[x].shape[-1])).astype(np.int8)
        return self.add(Linear(), x, self.constant(weight, grid))

    def requantize(self, x, grid):
        per_channel = self.specs[x].quant.axis is None and self.draw(st.booleans())
        last = len(self.specs[x].shape) - 1
        factor = self.generator.uniform(0.01, 1, self.specs[x].shape[last] if per_channel else 1)
        rounding = self.draw(st.sampled_from(("half_even", "half_up", "floor", "double_round")))
        bits = self.draw(st.sampled_from((31, 31, 8, 1)))
        way = {"factor": tuple(factor.tolist()), "factor_axis": last if per_channel else None, "bits": bits}
        return self.add(Requantize.between(self.specs[x], grid, rounding=rounding, **way), x)

    def grow(self):
        kind = self.draw(
            st.sampled_from(("codes", "stream", "sum", "gelu", "residual", "norm", "scores", "table", "sums"))
        )
        x = self.pick(self.codes)
        if kind == "codes":
            self.codes.append(self.requantize(self.linear(x, CHANNELS), self._grid()))
        elif kind in ("stream", "sum"):
            self.streams.append(self.requantize(self.linear(x, CHANNELS), STREAM))
            if kind == "sum":
                self.streams.append(
                    self.add(Add(16), *self.draw(st.permutations((self.streams[-1], self.pick(self.streams)))))
                )
        elif kind == "sums":
            self.add(Dequantize(), self.linear(x, self.draw(st.integers(1, 40))))
        elif kind == "gelu":
            bias = self.constant(self.generator.normal(0, 1, CHANNELS))
            real = self.add(Add(), self.add(Dequantize(), self.linear(x, CHANNELS)), bias)
            self.floats.append(real)
            self.codes.append(self.add(Quantize(self._grid()), self.add(Gelu(), real)))
            self.draw(st.booleans()) or self.floats.pop()  # who reads it again keeps it from disappearing
        elif kind == "residual":
            bias = self.constant(self.generator.normal(0, 1, CHANNELS))
            real = self.add(Add(), self.add(Dequantize(), self.linear(x, CHANNELS)), bias)
            self.floats.append(self.add(Add(), real, self.pick(self.floats)) if self.floats else real)
        elif kind == "norm" and self.floats:
            weight, bias = (self.constant(self.generator.normal(1, 1, CHANNELS)) for _ in range(2))
            self.codes.append(
                self.add(Quantize(self._grid()), self.add(LayerNorm(), self.pick(self.floats), weight, bias))
            )
        else:
            self.attention(x, kind == "table")

    def attention(self, x, table):
        heads = self.add(Transpose((0, 2, 1, 3)), self.add(Reshape((1, TOKENS, 2, CHANNELS // 2)), x))
        acc = self.add(MatMul(), heads, self.add(Transpose((0, 1, 3, 2)), heads))
        shares = QuantSpec(4, False, (1 / 15,))
        if table:
            scores = self.requantize(acc, QuantSpec(8, True, (0.05,)))
            shares = self.requantize(self.add(TableSoftmax.lower(self.specs[scores], 12), scores), shares)
        else:
            real = self.add(Mul(), self.add(Dequantize(), acc), self.constant(np.array(0.35)))
            shares = self.add(Quantize(shares), self.add(Softmax(), real))
        acc = self.add(MatMul(), shares, heads)
        if table:
            whole = self.add(Transpose((0, 2, 1, 3)), self.requantize(acc, self._grid()))
            self.codes.append(self.add(Reshape((1, TOKENS, CHANNELS)), whole))
        else:
            whole = self.add(Transpose((0, 2, 1, 3)), self.add(Dequantize(), acc))
            whole = self.add(Reshape((1, TOKENS, CHANNELS)), whole)
            self.codes.append(self.add(Quantize(self._grid()), whole))

    def graph(self):
        names = [node.name for node in self.nodes]
        outputs = dict.fromkeys((names[-1], *self.draw(st.lists(st.sampled_from(names), max_size=2))))
        return build("sketch", {"x": self.specs["x"]}, self.constants, self.nodes, list(outputs))


@st.composite
def graphs(draw):
    """A graph, its feeds, and values to keep."""
    sketch = Sketch(draw)
    for _ in range(draw(st.integers(1, 6))):
        sketch.grow()
    graph = sketch.graph()
    x = sketch.generator.integers(sketch.grid.qmin, sketch.grid.qmax + 1, (draw(st.integers(1, 9)), TOKENS, CHANNELS))
    return (
        graph,
        {"x": x},
        draw(st.lists(st.sampled_from([node.name for node in graph.nodes]), max_size=2, unique=True)),
    )


WAYS = [(chunk, threads) for chunk in (1, 2, 4, 7) for threads in (1, 2, 3)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=40)
@given(case=graphs(), data=st.data())
def test_equals_the_nodes_one_by_one(fused, case, data):
    graph, feeds, keep = case
    ways = data.draw(st.lists(st.sampled_from(WAYS), min_size=2, max_size=2, unique=True), label="chunk and threads")
    steps = fused(graph, feeds, keep, ways=ways)
    assert sorted(name for step in steps for name in step) == sorted(node.name for node in graph.nodes)
    made = {step[-1] for step in steps}
    assert made >= {*graph.outputs, *keep}


def chain(keep_sums=False):
    """x -> linear -> requantize -> linear -> requantize."""
    generator, grid = np.random.default_rng(1), QuantSpec(4, True, (0.1,))
    weights = {f"w{i}": generator.integers(-8, 8, (8, 8)).astype(np.int8) for i in (1, 2)}
    spec = TensorSpec((8, 8), grid, batched=False)
    acc = Linear().infer((TensorSpec((1, 3, 8), grid), spec))
    nodes = []
    for i, x in ((1, "x"), (2, "q1")):
        nodes.append(Node(f"a{i}", Linear(), (x, f"w{i}")))
        nodes.append(Node(f"q{i}", Requantize.between(acc, grid), (f"a{i}",)))
    constants = {name: (value, spec) for name, value in weights.items()}
    return build("chain", {"x": TensorSpec((1, 3, 8), grid)}, constants, nodes, ["q2"])


X = np.random.default_rng(2).integers(-8, 8, (5, 3, 8))


def test_what_is_kept_or_replaced_does_not_disappear(fused):
    graph = chain()
    assert fused(graph, {"x": X}) == [("a1", "q1"), ("a2", "q2")]
    assert fused(graph, {"x": X}, ["a1"]) == [("a1",), ("q1",), ("a2", "q2")]
    assert fused(graph, {"x": X}, ["q1"]) == [("a1", "q1"), ("a2", "q2")]
    for name in ("q1", "a2"):
        other = np.random.default_rng(3).integers(-8, 8, (5, 3, 8))
        steps = fused(graph, {"x": X}, [name], replace={name: other})
        assert name in {step[-1] for step in steps}
    with_sums = fused(graph, {"x": X}, replace={"a1": np.zeros((5, 3, 8), np.int32)})
    assert with_sums == [("a1",), ("q1",), ("a2", "q2")]


def test_a_plan_is_made_once_for_what_is_wanted_and_the_tier(monkeypatch):
    graph = chain()
    monkeypatch.setenv(choose.VARIABLE, "portable")
    first = plan(graph)
    assert plan(graph) is first
    assert plan(graph, ["q2"]) is first
    assert plan(graph, ["a1"]) is not first
    assert plan(chain()) is not first
    monkeypatch.setenv(choose.VARIABLE, "oracle")
    assert plan(graph) is not first
    monkeypatch.setenv(choose.VARIABLE, "portable")
    assert plan(graph) is first


def test_values_are_dropped_after_the_last_step_that_reads_them():
    found = plan(chain())
    assert [step.name for step in found.steps] == ["q1", "q2"]
    assert dict(found.last_uses) == {"x": 0, "w1": 0, "q1": 1, "w2": 1, "q2": 2}


def test_plans_go_with_their_graph():
    graph = chain()
    simulate(graph, {"x": X})
    made = weakref.ref(graph)
    steps = [weakref.ref(step.run) for step in plan(graph, ["a1"]).steps]
    del graph
    gc.collect()
    assert [reference() for reference in (made, *steps)] == [None] * (1 + len(steps))


def test_two_products_that_meet_in_a_sum(fused):
    """Each of them could take the sum; one does."""
    generator, grid = np.random.default_rng(1), QuantSpec(4, True, (0.1,))
    spec = TensorSpec((16, 16), grid, batched=False)
    constants = {f"w{i}": (generator.integers(-8, 8, (16, 16)).astype(np.int8), spec) for i in (1, 2)}
    acc = Linear().infer((TensorSpec((1, 3, 16), grid), spec))
    constants["b"] = generator.normal(0, 1, 16), TensorSpec((16,), None, batched=False)
    integer, real = [], []
    for i in (1, 2):
        product = Node(f"a{i}", Linear(), ("x", f"w{i}"))
        integer += [product, Node(f"q{i}", Requantize.between(acc, STREAM), (f"a{i}",))]
        real += [product, Node(f"d{i}", Dequantize(), (f"a{i}",)), Node(f"q{i}", Add(), (f"d{i}", "b"))]
    for nodes, bits, whole in ((integer, 16, ("a1", "q1", "sum")), (real, 0, ("a1", "d1", "q1", "sum"))):
        last = [Node("sum", Add(bits), ("q1", "q2"))]
        graph = build("meet", {"x": TensorSpec((1, 3, 16), grid)}, constants, nodes + last, ["sum"])
        steps = fused(graph, {"x": generator.integers(-8, 8, (5, 3, 16))})
        assert whole in steps
        assert [step[-1] for step in steps] == ["q2", "sum"]


def test_an_error_says_which_node_it_is():
    nodes = [Node("q", Quantize(QuantSpec(4, True, (0.1,))), ("y",))]
    graph = build("bad", {"x": TensorSpec((1, 2))}, {}, [Node("y", Gelu(), ("x",)), *nodes], ["q"])
    with pytest.raises(IllegalModel) as caught:
        simulate(graph, {"x": np.ones((1, 2))}, replace={"y": np.full((1, 2), np.nan)})
    assert str(caught.value) == "q: codes are made of finite numbers, got NaN or infinity; check the input"
