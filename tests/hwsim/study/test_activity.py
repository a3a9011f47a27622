import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.accel.activity import OperandActivity, Toggled
from hwsim.errors import HwsimError
from hwsim.graph import Node, build
from hwsim.grids.log2 import log2
from hwsim.ops.conv2d import Conv2d
from hwsim.ops.linear import Linear
from hwsim.ops.matmul import MatMul
from hwsim.ops.quantize import Quantize
from hwsim.simulator import simulate
from hwsim.spec import BipolarSpec, QuantSpec, ShiftSpec, TensorSpec
from hwsim.study.accumulators import Accumulator
from hwsim.study.activity import Measure, count, counted
from hwsim.study.faults import Flips


def width(q, signed):
    if q == 0:
        return 0
    return (q if q >= 0 else ~q).bit_length() + signed


def toggled(one, other, bits):
    return bin((one ^ other) & (2**bits - 1)).count("1")


def restated(products, bits, signed, constant, least=0):
    """The activity of products, each a list of streams (lists of Python integers along K), in words of Python."""
    products = [[[int(q) for q in stream] for stream in product] for product in products]
    streams = [stream for product in products for stream in product]
    codes = [q for stream in streams for q in stream]

    def histogram(groups):
        widths = [max(max(least, width(q, signed)) for q in group) for group in groups]
        return tuple(widths.count(w) for w in range(bits + 1))

    def cut(size):
        return [stream[i : i + size] for stream in streams for i in range(0, len(stream), size)]

    along = [(x, y) for stream in streams for x, y in itertools.pairwise(stream)]
    lanes = [(up, down) for product in products for up, down in itertools.pairwise(product)]
    across = [pair for up, down in lanes for pair in zip(up, down, strict=True)]
    return OperandActivity(
        bits=bits,
        constant=constant,
        set_bits=sum(bin(abs(q)).count("1") for q in codes),
        widths=histogram([q] for q in codes),
        group_widths_16=histogram(cut(16)),
        group_widths_256=histogram(cut(256)),
        along=Toggled(sum(toggled(x, y, bits) for x, y in along), len(along)),
        across=Toggled(sum(toggled(x, y, bits) for x, y in across), len(across)),
    )


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 40) | st.integers(250, 530)),
    bits=st.integers(1, 20),
    signed=st.booleans(),
    sparse=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_counts_what_python_counts(shape, bits, signed, sparse, seed):
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    generator = np.random.default_rng(seed)
    streams = generator.integers(low, high, shape, np.int32, endpoint=True)
    streams[generator.random(shape) < 0.97 * sparse] = 0
    assert counted(streams, bits, signed, False, True) == restated(streams.tolist(), bits, signed, True)


def test_the_ends_of_the_widest_integers():
    ends = np.array([[[-(2**31), 2**31 - 1, 0, -1, 1]]], np.int32)
    seen = counted(ends, 32, True, False, False)
    assert seen == restated(ends.tolist(), 32, True, False)
    assert [w for w, n in enumerate(seen.widths) for _ in range(n)] == [0, 1, 2, 32, 32]


def test_the_kernel_without_numba():
    streams = np.random.default_rng(0).integers(-8, 8, (2, 3, 19)).astype(np.int32)
    lengths = np.array([q.bit_length() for q in range(256)], np.uint8)
    ones = np.array([q.bit_count() for q in range(256)], np.uint8)
    plain, compiled = ((np.zeros((3, 5), np.int64), np.zeros(3, np.int64)) for _ in range(2))
    getattr(count, "py_func", count)(streams, 4, True, 0, 16, 256, lengths, ones, *plain)
    count(streams, 4, True, 0, 16, 256, lengths, ones, *compiled)
    for one, other in zip(plain, compiled, strict=True):
        np.testing.assert_array_equal(one, other)


def matrices(kind, a, b, fill):
    """The streams that each product reads: products of a and of b, each a list of rows (columns), along K."""
    if kind == "linear":
        return [image.reshape(-1, image.shape[-1]).tolist() for image in a], [b.tolist()]
    if kind.endswith("matmul"):
        left = [a[i].tolist() for i in np.ndindex(*a.shape[:-2])]
        return left, [b[i].T.tolist() for i in np.ndindex(*b.shape[:-2])]
    groups = a.shape[1] // b.shape[1]  # conv2d of stride 1, padding 1
    padded = np.pad(a, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=fill)
    places = list(np.ndindex(*(padded.shape[i] - b.shape[i] + 1 for i in (2, 3))))
    windows, kernels = [], []
    for group in range(groups):
        channels = slice(group * b.shape[1], (group + 1) * b.shape[1])
        kernels.append([k.reshape(-1).tolist() for k in b[group * len(b) // groups : (group + 1) * len(b) // groups]])
        for image in padded:
            cuts = [image[channels, y : y + b.shape[2], x : x + b.shape[3]] for y, x in places]
            windows.append([cut.reshape(-1).tolist() for cut in cuts])
    return windows, kernels


KINDS = {
    "linear": (Linear(), (1, 3, 21), (4, 21), False),
    "conv2d": (Conv2d((1, 1), (1, 1), 2), (1, 4, 3, 3), (2, 2, 2, 2), False),
    "matmul": (MatMul(), (1, 2, 3, 4), (1, 2, 4, 3), True),
    "constant matmul": (MatMul(), (1, 2, 3, 4), (1, 2, 4, 3), False),
}


def one_product(draw, data, kind, images=2):
    op, left, right, dynamic = KINDS[kind]
    shifts = kind != "conv2d" and data.draw(st.booleans(), label="shift grid")
    x, x_spec = draw.tensor(data, left, images=images)
    if shifts:
        x_spec = TensorSpec(left, draw.shift_grid(data))
        x = draw.codes(data, x_spec, images)
    axis = 0 if not kind.endswith("matmul") else 1 if kind == "matmul" and not shifts else None
    w, w_spec = draw.tensor(data, right, batched=dynamic, images=images, axis=axis)
    inputs, constants = ({"x": x_spec, "w": w_spec}, {}) if dynamic else ({"x": x_spec}, {"w": (w, w_spec)})
    graph = build(kind, inputs, constants, [Node("acc", op, ("x", "w"))], ["acc"])
    return graph, {"x": x, "w": w} if dynamic else {"x": x}


def measured(graph, feeds, images, **arguments):
    measure = Measure(graph)
    simulate(graph, feeds, execute=measure, **arguments)
    return measure.activity(images)


@given(data=st.data(), kind=st.sampled_from(tuple(KINDS)))
def test_measures_what_products_read(draw, exact, data, kind):
    graph, feeds = one_product(draw, data, kind)
    activity = measured(graph, feeds, 2)
    values = {**graph.constants, **feeds}
    specs = [graph.specs[name] for name in ("x", "w")]
    codes = [values[name].astype(object) for name in ("x", "w")]
    integers = [exact(values[name], spec) for name, spec in zip(("x", "w"), specs, strict=True)]
    for reading, pair, fill in (("raw", codes, specs[0].quant.zero_point[0]), ("centred", integers, 0)):
        for seen, products, spec in zip(activity.of("acc", reading), matrices(kind, *pair, fill), specs, strict=True):
            constant = not spec.batched
            if reading == "raw":
                bits, signed = spec.quant.bits, spec.quant.signed
            else:
                low, high = reach(spec.quant)
                bits, signed = max(width(low, low < 0), width(high, low < 0)), low < 0
            assert seen == restated(products, bits, signed, constant), (reading, spec)


def reach(quant):
    """The least and the greatest integer that a code stands for."""
    if isinstance(quant, ShiftSpec):
        table = [x * 2**s - quant.zero for x, s in zip(quant.significand, quant.shift, strict=True)]
        return min(table), max(table)
    return quant.qmin - max(quant.zero_point), quant.qmax - min(quant.zero_point)


@given(data=st.data(), kind=st.sampled_from(tuple(KINDS)), cut=st.integers(1, 4), chunk=st.integers(1, 5))
def test_threads_chunks_and_parts_change_nothing(draw, data, kind, cut, chunk):
    graph, feeds = one_product(draw, data, kind, images=5)
    whole = measured(graph, feeds, 5, threads=1, chunk=5)
    assert measured(graph, feeds, 5, threads=3, chunk=chunk) == whole
    halves = [measured(graph, {name: v[part] for name, v in feeds.items()}, n) for part, n in parts(cut)]
    assert halves[0].joined(halves[1]) == whole
    assert halves[1].joined(halves[0]) == whole


def parts(cut):
    return (slice(None, cut), cut), (slice(cut, None), 5 - cut)


def test_one_executor_sees_all_its_calls(mlp, images):
    measure = Measure(mlp)
    simulate(mlp, {"x": images[:4]}, execute=measure)
    simulate(mlp, {"x": images[4:]}, execute=measure, first=4)
    assert measure.activity(11) == measured(mlp, {"x": images}, 11)
    assert list(measure.activity(11).products) == ["fc1.acc", "fc2.acc"], "in the order of the graph"


def test_values_are_those_of_a_run_that_measures_nothing(mlp, images):
    keep = ["fc1.acc", "fc2.x"]
    wanted = simulate(mlp, {"x": images}, keep)
    for name, value in simulate(mlp, {"x": images}, keep, execute=Measure(mlp)).items():
        np.testing.assert_array_equal(value, wanted[name])


def test_measures_beside_other_studies(mlp, images):
    accumulator = Accumulator(6, "wrap")
    flips = Flips.parse(mlp, ["fc1.weight:msb:1", "fc2.x:msb:1"], execute=Measure(mlp, accumulator))
    simulate(mlp, {"x": images}, execute=flips)
    seen = flips.execute.activity(11).of("fc1.acc").b
    flipped = mlp.constants["fc1.weight"] ^ np.int8(-8)
    assert seen == restated([flipped.tolist()], 4, True, True)
    assert accumulator.overflows


def test_bipolar_codes_are_one_wire():
    x = TensorSpec((1, 3), BipolarSpec((1.0,)))
    w = np.array([[1, -1, 1], [-1, -1, -1]], np.int8)
    graph = build(
        "xnor",
        {"x": x},
        {"w": (w, TensorSpec((2, 3), BipolarSpec((1.0,)), False))},
        [Node("y", Linear(), ("x", "w"))],
        ["y"],
    )
    readings = measured(graph, {"x": np.array([[1, 1, -1]], np.int8)}, 1).products["y"]
    assert readings.raw == readings.centred
    assert readings.raw.a == restated([[[1, 1, 0]]], 1, False, False, least=1)
    assert readings.raw.b == restated([[[1, 0, 1], [0, 0, 0]]], 1, False, True, least=1)
    assert (readings.raw.b.mean_bits, readings.raw.b.zeros, readings.raw.b.toggles) == (1.0, 0.0, 0.5)


def test_padding_of_a_log2_grid_is_the_code_of_zero():
    quant = log2(3, 0.25)
    spec = TensorSpec((1, 1, 1, 1), quant)
    kernel = np.ones((1, 1, 3, 3), np.int8)
    weight = TensorSpec(kernel.shape, QuantSpec(2, True, (1.0,)), False)
    graph = build("pad", {"x": spec}, {"w": (kernel, weight)}, [Node("y", Conv2d((1, 1), (1, 1)), ("x", "w"))], ["y"])
    raw, centred = (pair.a for pair in measured(graph, {"x": np.array([[[[1]]]], np.uint8)}, 1).products["y"])
    values = quant.values().tolist()
    zero = values.index(0) if 0 in values else 0
    assert raw == restated([[[zero] * 4 + [1] + [zero] * 4]], 3, False, False)
    low, high = reach(quant)
    bits = max(width(low, low < 0), width(high, low < 0))
    assert centred == restated([[[0] * 4 + [values[1]] + [0] * 4]], bits, low < 0, False)


def test_random_codes_toggle_half_their_bits():
    codes = np.random.default_rng(1).integers(0, 16, (1, 200, 300)).astype(np.int32)
    seen = counted(codes, 4, False, False, False)
    assert seen.toggles == pytest.approx(0.5, abs=0.003)
    assert seen.toggles_across == pytest.approx(0.5, abs=0.003)
    assert seen.mean_bits == pytest.approx((1 + 1 + 2 * 2 + 4 * 3 + 8 * 4) / 16, abs=0.01)


def test_without_integer_products_there_is_nothing_to_measure(mlp):
    nodes = [node for node in mlp.nodes if node.name == "norm"]
    constants = {n: (mlp.constants[n], mlp.specs[n]) for n in ("norm.weight", "norm.bias")}
    floats = dataclasses.replace(build("floats", {"x": mlp.specs["x"]}, constants, nodes, ["norm"]))
    with pytest.raises(HwsimError) as error:
        Measure(floats)
    assert str(error.value) == "floats: activity is of integer products, got a graph without; quantize the model"


def test_products_of_floats_are_passed_over():
    w = np.array([[1, 2]], np.int8)
    grid = QuantSpec(4, True, (1.0,))
    nodes = [
        Node("q", Quantize(grid), ("x",)),
        Node("integer", Linear(), ("q", "w")),
        Node("float", Linear(), ("x", "w")),
    ]
    constants = {"w": (w, TensorSpec((1, 2), grid, False))}
    graph = build("half", {"x": TensorSpec((1, 2))}, constants, nodes, ["integer", "float"])
    assert list(measured(graph, {"x": np.array([[1.0, 2.0]])}, 1).products) == ["integer"]


def test_the_example_of_the_documentation():
    page = (Path(__file__).parents[3] / "docs" / "activity.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines()]
    stated = {
        row[0]: [float(cell) for cell in row[1:]] for row in rows if len(row) == 8 and row[0] in ("raw", "centred")
    }
    weight = np.ones((1, 4), np.int8), TensorSpec((1, 4), QuantSpec(2, True, (1.0,)), False)
    x = TensorSpec((1, 2, 4), QuantSpec(3, False, (1.0,), (3,)))
    graph = build("example", {"x": x}, {"w": weight}, [Node("y", Linear(), ("x", "w"))], ["y"])
    activity = measured(graph, {"x": np.array([[[3, 4, 0, 3], [5, 3, 3, 3]]], np.uint8)}, 1)
    for reading, figures in stated.items():
        seen = activity.of("y", reading).a
        found = [
            seen.bits,
            seen.zeros,
            seen.mean_bits,
            seen.group_bits(16),
            seen.ones,
            seen.toggles,
            seen.toggles_across,
        ]
        assert [round(value, 3) for value in found] == figures
    assert stated.keys() == {"raw", "centred"}
