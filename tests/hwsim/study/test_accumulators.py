import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import HwsimError, UnknownName
from hwsim.graph import Node, build
from hwsim.grids.log2 import log2
from hwsim.grids.sulq import sulq
from hwsim.op import bounds
from hwsim.ops.conv2d import Conv2d
from hwsim.ops.linear import Linear
from hwsim.ops.matmul import MatMul
from hwsim.simulator import simulate
from hwsim.spec import QuantSpec, TensorSpec
from hwsim.study.accumulators import Accumulator, Overflow, Range, Seen, Width, seen, widths


def narrow(value, bits, overflow):
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    return min(max(value, low), high) if overflow == "saturate" else (value - low) % (1 << bits) + low


def register(products, bits, overflow, tile):
    """S15 in Python integers: the last value of the register, and the narrowings that changed a value."""
    products = [int(value) for value in products]
    total = changed = 0
    for start in range(0, len(products), tile or len(products)):
        part = sum(products[start : start + (tile or len(products))])
        wide = total + narrow(part, bits, overflow)
        changed += (narrow(part, bits, overflow) != part) + (narrow(wide, bits, overflow) != wide)
        total = narrow(wide, bits, overflow)
    return total, changed


def products(kind, a, b):
    """For every output index the products that it sums, k ascending; a and b are object arrays of centred integers."""
    if kind == "linear":
        return {(*i, n): list(a[i] * b[n]) for i in np.ndindex(*a.shape[:-1]) for n in range(len(b))}
    if kind == "matmul":
        shape = (*a.shape[:-1], b.shape[-1])
        return {i: list(a[i[:-1]] * b[(*(i[0] % len(b), *i[1:])[:-2], slice(None), i[-1])]) for i in np.ndindex(*shape)}
    groups, found = a.shape[1] // b.shape[1], {}  # conv2d of stride 1, padding 1
    padded = np.pad(a, ((0, 0), (0, 0), (1, 1), (1, 1)))
    for image, o, y, x in np.ndindex(len(a), len(b), *(padded.shape[i] - b.shape[i] + 1 for i in (2, 3))):
        first = o // (len(b) // groups) * b.shape[1]
        patch = padded[image, first : first + b.shape[1], y : y + b.shape[2], x : x + b.shape[3]]
        found[image, o, y, x] = list((patch * b[o]).reshape(-1))
    return found


KINDS = {
    "linear": (Linear(), (1, 3, 5), (4, 5), False),
    "conv2d": (Conv2d((1, 1), (1, 1), 2), (1, 4, 3, 3), (2, 2, 2, 2), False),
    "matmul": (MatMul(), (1, 2, 3, 4), (1, 2, 4, 3), True),
    "constant matmul": (MatMul(), (1, 2, 3, 4), (1, 2, 4, 3), False),
}


def one_product(draw, data, kind):
    """A graph of one product of codes that are fed, or of codes and a constant; its feeds for two images."""
    op, left, right, dynamic = KINDS[kind]
    x, x_spec = draw.tensor(data, left, images=2)
    w, w_spec = draw.tensor(data, right, batched=dynamic, images=2, axis=None if kind.endswith("matmul") else 0)
    inputs, constants = ({"x": x_spec, "w": w_spec}, {}) if dynamic else ({"x": x_spec}, {"w": (w, w_spec)})
    graph = build(kind, inputs, constants, [Node("acc", op, ("x", "w"))], ["acc"])
    return graph, {"x": x, "w": w} if dynamic else {"x": x}


@given(
    data=st.data(),
    kind=st.sampled_from(tuple(KINDS)),
    bits=st.integers(2, 14),
    overflow=st.sampled_from(("wrap", "saturate")),
    tile=st.integers(0, 9),
)
def test_equals_unbounded_integers_in_the_stated_order(draw, exact, data, kind, bits, overflow, tile):
    graph, feeds = one_product(draw, data, kind)
    operands = [exact({**graph.constants, **feeds}[name], graph.specs[name]) for name in ("x", "w")]
    wanted = products(kind.removeprefix("constant "), *operands)
    accumulator = Accumulator(bits, overflow, tile)
    value = simulate(graph, feeds, chunk=1, execute=accumulator)["acc"]
    assert value.dtype == np.int32
    registers = {index: register(terms, bits, overflow, tile) for index, terms in wanted.items()}
    assert {index: value[index] for index in np.ndindex(*value.shape)} == {i: r[0] for i, r in registers.items()}
    inexact = sum(registers[index][0] != sum(terms) for index, terms in wanted.items())
    assert accumulator.overflows["acc"] == Overflow(sum(r[1] for r in registers.values()), inexact, len(wanted))


@given(data=st.data(), kind=st.sampled_from(tuple(KINDS)), bits=st.integers(2, 14), tile=st.integers(1, 9))
def test_wrapping_depends_on_no_tiles(draw, data, kind, bits, tile):
    """Whatever the tiles: the exact sum, wrapped once."""
    graph, feeds = one_product(draw, data, kind)
    value = simulate(graph, feeds, execute=Accumulator(bits, "wrap", tile))["acc"]
    once = (simulate(graph, feeds)["acc"].astype(np.int64) + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)
    np.testing.assert_array_equal(value, once)


@given(data=st.data(), kind=st.sampled_from(tuple(KINDS)), seed=st.integers(0))
def test_no_partial_sum_in_any_order_leaves_the_bounds(draw, exact, data, kind, seed):
    graph, feeds = one_product(draw, data, kind)
    (width,) = widths(graph)
    assert width.static == (kind != "matmul")
    assert width.codes.bits == graph.specs["acc"].quant.bits, "what was proven when the graph was built"
    assert width.codes.low <= width.weights.low <= 0 <= width.weights.high <= width.codes.high
    operands = [exact({**graph.constants, **feeds}[name], graph.specs[name]) for name in ("x", "w")]
    generator = np.random.default_rng(seed)
    for terms in products(kind.removeprefix("constant "), *operands).values():
        partial = np.cumsum(generator.permutation(np.array(terms, dtype=object)))
        assert width.weights.low <= min(partial) <= max(partial) <= width.weights.high
    for overflow in ("wrap", "saturate", "error"):
        accumulator = Accumulator(max(2, width.weights.bits), overflow, data.draw(st.integers(0, 3)))
        np.testing.assert_array_equal(simulate(graph, feeds, execute=accumulator)["acc"], simulate(graph, feeds)["acc"])
        assert accumulator.overflows["acc"].narrowings == 0


@given(data=st.data(), channels=st.integers(1, 5), k=st.integers(1, 9))
def test_the_bound_of_the_weights_is_attained(draw, exact, data, channels, k):
    """By the activation that is extreme by the sign of each weight; the bound of the codes, by such weights too."""
    w, w_spec = draw.tensor(data, (channels, k), batched=False, axis=0)
    x_spec = TensorSpec((1, k), draw.grid(data))
    graph = build("g", {"x": x_spec}, {"w": (w, w_spec)}, [Node("acc", Linear(), ("x", "w"))], ["acc"])
    (width,) = widths(graph)
    low, high = x_spec.quant.qmin, x_spec.quant.qmax
    weights = exact(w, w_spec)
    attack = np.array([np.where(row > 0, *ends) for row in weights for ends in ((low, high), (high, low))])
    reached = seen(graph, {"x": attack.astype(x_spec.quant.container)})["acc"]
    assert reached == width.weights
    accumulator = Accumulator(max(2, reached.bits), "error", 0)
    simulate(graph, {"x": attack}, execute=accumulator)
    if reached.bits > 2:
        with pytest.raises(HwsimError, match=rf"^acc: accumulator needs {reached.bits} bits, got {reached.bits - 1};"):
            simulate(graph, {"x": attack}, execute=Accumulator(reached.bits - 1), chunk=len(attack))


@pytest.mark.parametrize("fixed", [0, 1])
def test_a_constant_on_either_side(fixed):
    """S15: weights (1, 2, -7), activations 0..7."""
    w = np.array([[[1, 2, -7]]], np.int8)
    grid, byte = QuantSpec(3, False, (1.0,)), QuantSpec(4, True, (1.0,))
    shapes = ((1, 1, 3), (1, 3, 1))
    constant = w.reshape(shapes[fixed])
    inputs = {"x": TensorSpec(shapes[1 - fixed], grid)}
    constants = {"w": (constant, TensorSpec(constant.shape, byte, batched=False))}
    order = ("w", "x") if fixed == 0 else ("x", "w")
    graph = build("g", inputs, constants, [Node("acc", MatMul(), order)], ["acc"])
    (width,) = widths(graph)
    assert (width.codes, width.weights) == (Range(-168, 147), Range(-49, 21))
    assert (width.static, width.k) == (True, 3)


def test_widths_of_a_graph(mlp):
    fc1, fc2 = widths(mlp)
    x, weight = (mlp.specs[name].quant for name in ("fc1.x", "fc1.weight"))  # -7..8 and -8..7
    assert fc1 == Width("fc1.acc", 5, x, weight, True, Range(5 * 8 * -8, 5 * 8 * 7), fc1.weights)
    rows = mlp.constants["fc1.weight"].astype(int)
    assert fc1.weights.high == max(sum(max(8 * w, -7 * w) for w in row) for row in rows)
    assert fc1.weights.low == min(sum(min(8 * w, -7 * w) for w in row) for row in rows)
    raw = widths(mlp, corrected=False)[0]
    assert raw.codes == Range(5 * 15 * -8, 5 * 15 * 7)
    assert raw.weights.high == max(sum(max(15 * w, 0) for w in row) for row in rows)
    assert raw.a == fc1.a, "the formats are those of the graph"
    assert fc2.node == "fc2.acc"


def shifted(grid, v=None):
    """A graph that multiplies codes of `grid`, (2, 4), by those of `v` or of four signed bits, (4, 2)."""
    inputs = {"x": TensorSpec((1, 2, 4), grid), "v": TensorSpec((1, 4, 2), v or QuantSpec(4, True, (1.0,)))}
    return build("shifted", inputs, {}, [Node("av", MatMul(), ("x", "v"))], ["av"])


def test_raw_codes_of_a_grid_that_is_not_uniform():
    """The constant that S14 takes off at the end is no part of the raw sum."""
    grid = sulq(3)
    graph = shifted(grid)
    (low, high), top = bounds(graph.specs["x"]), bounds(graph.specs["x"])[1] + grid.zero
    assert grid.zero > 0
    (width,), (raw,) = widths(graph), widths(graph, corrected=False)
    corners = [4 * e * v for e in (low, high) for v in (-8, 7)]
    assert width.codes == Range(min(corners), max(corners))
    assert raw.codes == Range(4 * top * -8, 4 * top * 7)


def test_partial_sums_count_where_no_code_means_zero():
    """Of operands 1, 2, 4, 8 the whole sum is never 0, nor is it small where a weight is negative; its parts are."""
    powers = log2(2, zero=False)
    assert widths(shifted(powers, powers))[0].codes == Range(0, 4 * 64)
    w = np.array([[3, -2]], np.int8), TensorSpec((1, 2), QuantSpec(3, True, (1.0,)), batched=False)
    graph = build("g", {"x": TensorSpec((1, 2), powers)}, {"w": w}, [Node("acc", Linear(), ("x", "w"))], ["acc"])
    assert widths(graph)[0].weights == Range(-16, 24)


@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
@pytest.mark.parametrize("tile", [0, 1, 3])
def test_products_that_are_shifts(overflow, tile):
    """Their terms are those of the integers that the codes stand for (S14)."""
    generator, grid = np.random.default_rng(2), sulq(3)
    feeds = {"x": generator.integers(0, 8, (3, 2, 4)).astype(np.uint8)}
    feeds["v"] = generator.integers(-8, 8, (3, 4, 2)).astype(np.int8)
    value = simulate(shifted(grid), feeds, execute=Accumulator(6, overflow, tile))["av"]
    terms = products("matmul", grid.values()[feeds["x"]].astype(object), feeds["v"].astype(object))
    wanted = {index: register(row, 6, overflow, tile)[0] for index, row in terms.items()}
    assert {index: value[index] for index in wanted} == wanted
    assert any(wanted[index] != sum(row) for index, row in terms.items())


@pytest.mark.parametrize(("k", "magnitude", "bits"), [(384, 23.6, 25), (768, 24.6, 26), (3072, 26.6, 28)])
def test_bytes_of_vision_transformers_need_more_than_24_bits(k, magnitude, bits):
    """METHODS 1.1: u8 times s8 reaches 2**23.6, 2**24.6, 2**26.6; 32 bits are always enough, 24 are not."""
    x = TensorSpec((1, 1, k), QuantSpec(8, False, (1.0,)))
    w = np.full((1, k), -128, np.int8), TensorSpec((1, k), QuantSpec(8, True, (1.0,)), batched=False)
    graph = build("g", {"x": x}, {"w": w}, [Node("acc", Linear(), ("x", "w"))], ["acc"])
    (width,) = widths(graph)
    assert math.log2(-width.codes.low) == pytest.approx(magnitude, abs=0.05)
    assert (width.codes.bits, width.weights.bits) == (bits, bits)
    feeds = {"x": np.full((1, 1, k), 255, np.uint8)}
    assert simulate(graph, feeds, execute=Accumulator(32))["acc"].item() == -k * 255 * 128
    assert simulate(graph, feeds, execute=Accumulator(24, "saturate", 16))["acc"].item() == -(2**23)
    with pytest.raises(HwsimError) as caught:
        simulate(graph, feeds, execute=Accumulator(24))
    assert str(caught.value) == (
        f"acc: accumulator needs {bits} bits, got 24; "
        "raise acc_bits, let it wrap or saturate, or lower the bits of an operand"
    )


def row(*terms):
    """A graph whose one output sums exactly these products, and its feed."""
    grid = QuantSpec(8, True, (1.0,))
    w = np.ones((1, len(terms)), np.int8), TensorSpec((1, len(terms)), grid, batched=False)
    graph = build("g", {"x": TensorSpec((1, len(terms)), grid)}, {"w": w}, [Node("acc", Linear(), ("x", "w"))], ["acc"])
    return graph, {"x": np.array([terms], np.int8)}


@pytest.mark.parametrize(
    ("overflow", "tile", "value", "narrowings"),
    [("wrap", 1, 4, 2), ("saturate", 1, 0, 1), ("saturate", 2, 0, 1), ("wrap", 0, 4, 0), ("saturate", 3, 4, 0)],
)
def test_example_of_the_semantics(overflow, tile, value, narrowings):
    """S15: products 5, 6, -7 in four bits."""
    graph, feeds = row(5, 6, -7)
    accumulator = Accumulator(4, overflow, tile)
    assert simulate(graph, feeds, execute=accumulator)["acc"].item() == value
    assert accumulator.overflows == {"acc": Overflow(narrowings, int(value != 4), 1)}


def test_what_was_seen_says_nothing_about_partial_sums():
    """100 + 100 - 90 - 90: 20 is seen, 6 bits. Wrapped at 6 bits it is right; saturated it is not, and 9 bits are needed."""
    graph, feeds = row(100, 100, -90, -90)
    bits = seen(graph, feeds)["acc"].bits
    assert bits == 6
    wrap = Accumulator(bits, "wrap", 1)
    assert simulate(graph, feeds, execute=wrap)["acc"].item() == 20
    assert wrap.overflows["acc"].narrowings > 0
    assert wrap.overflows["acc"].overflowed == 0
    saturate = Accumulator(bits, "saturate", 1)
    assert simulate(graph, feeds, execute=saturate)["acc"].item() == -32
    with pytest.raises(HwsimError, match=r"^acc: accumulator needs 9 bits, got 6; "):
        simulate(graph, feeds, execute=Accumulator(bits, "error", 1))
    simulate(graph, feeds, execute=Accumulator(9, "error", 1))
    simulate(graph, feeds, execute=Accumulator(6, "error", 0))


def test_seen_is_the_range_of_all_images(mlp, images):
    kept = simulate(mlp, {"x": images}, ["fc1.acc", "fc2.acc"])
    wanted = {name: Range(int(kept[name].min()), int(kept[name].max())) for name in ("fc1.acc", "fc2.acc")}
    progress = []
    assert seen(mlp, {"x": images}, chunk=2, progress=lambda *counts: progress.append(counts)) == wanted
    assert progress[-1] == (11, 11)
    watch = Seen()
    for part in (slice(0, 5), slice(5, 11)):  # a data set in parts
        simulate(mlp, {"x": images[part]}, execute=watch)
    assert watch.ranges == wanted
    for width in widths(mlp):
        found = wanted[width.node]
        assert width.weights.low <= found.low <= found.high <= width.weights.high
        assert found.bits <= width.weights.bits <= width.codes.bits


@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
def test_threads_and_chunks_change_no_count(mlp, images, overflow):
    results = []
    for threads, chunk in ((1, 11), (2, 1), (3, 4)):
        accumulator = Accumulator(6, overflow, 2)
        value = simulate(mlp, {"x": images}, ["fc2.acc"], threads=threads, chunk=chunk, execute=accumulator)
        results.append((accumulator.overflows, {name: array.tolist() for name, array in value.items()}))
    assert results[0] == results[1] == results[2]
    counts = results[0][0]
    assert list(counts) == ["fc1.acc", "fc2.acc"]
    assert 0 < counts["fc1.acc"].overflowed <= counts["fc1.acc"].narrowings
    assert counts["fc1.acc"].outputs == 11 * 3 * 7


def test_the_first_of_several_errors_names_its_node(mlp, images):
    with pytest.raises(HwsimError, match=r"^fc1\.acc: accumulator needs \d+ bits, got 4; raise acc_bits, "):
        simulate(mlp, {"x": images}, execute=Accumulator(4, "error", 1))


def test_float_products_are_left_alone(floats):
    generator = np.random.default_rng(0)
    w = generator.normal(size=(3, 4)) * 1e6, TensorSpec((3, 4), batched=False)
    graph = build("f", {"x": TensorSpec((1, 4))}, {"w": w}, [Node("y", Linear(), ("x", "w"))], ["y"])
    accumulator, feeds = Accumulator(2), {"x": generator.normal(size=(5, 4))}
    np.testing.assert_array_equal(simulate(graph, feeds, execute=accumulator)["y"], simulate(graph, feeds)["y"])
    assert accumulator.overflows == {}
    assert widths(graph) == ()
    assert seen(graph, feeds) == {}


def test_a_product_of_constants_is_counted_once():
    grid = QuantSpec(8, True, (1.0,))
    pair = {name: (np.full((2, 2), 100, np.int8), TensorSpec((2, 2), grid, batched=False)) for name in "ab"}
    nodes = [Node("y", MatMul(), ("x", "x.t")), Node("c", MatMul(), ("a", "b"))]
    inputs = {name: TensorSpec((1, 2, 2), grid) for name in ("x", "x.t")}
    graph = build("g", inputs, pair, nodes, ["y", "c"])
    accumulator = Accumulator(12, "saturate")
    feeds = {name: np.ones((5, 2, 2), np.int8) for name in inputs}
    assert simulate(graph, feeds, chunk=1, execute=accumulator)["c"].tolist() == [[2047] * 2] * 2
    assert accumulator.overflows["c"] == Overflow(4, 4, 4)
    assert accumulator.overflows["y"] == Overflow(0, 0, 20)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((1,), "Accumulator: bits must be 2..32, got 1"),
        ((33,), "Accumulator: bits must be 2..32, got 33"),
        ((16, "wrap", -1), "Accumulator: tile_k must be 0 or more, got -1; 0 sums the whole K exactly"),
    ],
)
def test_built_wrong(arguments, text):
    with pytest.raises(ValueError, match=f"^{text}$".replace(".", r"\.")):
        Accumulator(*arguments)


def test_an_unknown_overflow():
    with pytest.raises(UnknownName) as caught:
        Accumulator(16, "saturated")
    assert str(caught.value) == ("overflow: unknown name, got 'saturated'; known, nearest first: saturate, wrap, error")


def test_ranges():
    ends = (0, 0), (-1, 0), (0, 1), (-8, 7), (-9, 0), (0, 8)
    assert [Range(low, high).bits for low, high in ends] == [1, 1, 2, 4, 5, 5]
