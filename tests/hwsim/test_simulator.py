import dataclasses
import time
import weakref
from dataclasses import dataclass

import numpy as np
import pytest

from hwsim.errors import HwsimError, IllegalModel, UnknownName
from hwsim.graph import Node, build
from hwsim.op import Op
from hwsim.ops.add import Add
from hwsim.ops.concat import Concat
from hwsim.ops.conv2d import Conv2d
from hwsim.ops.dequantize import Dequantize
from hwsim.ops.gelu import Gelu
from hwsim.ops.linear import Linear
from hwsim.ops.matmul import MatMul
from hwsim.ops.mean import Mean
from hwsim.ops.quantize import Quantize
from hwsim.ops.reshape import Reshape
from hwsim.ops.transpose import Transpose
from hwsim.simulator import chunks, simulate
from hwsim.spec import BipolarSpec, QuantSpec, TensorSpec


def naive(graph, feeds):
    """Every value of the whole batch at once, by the operators' own rules."""
    values = {**graph.constants, **feeds}
    for node in graph.nodes:
        operands = tuple(values[name] for name in node.inputs)
        values[node.name] = node.op.run(operands, graph.inputs_of(node), graph.specs[node.name])
    return values


def constant(array, quant=None):
    return array, TensorSpec(array.shape, quant, batched=False)


@pytest.fixture
def windows():
    """A float patch convolution, a class token, 4 windows per image attending to themselves, a float head."""
    generator = np.random.default_rng(5)
    grid = QuantSpec(4, True, (0.25,), (1,))
    constants = {
        "patch.weight": constant(generator.normal(size=(6, 2, 3, 3))),
        "table": constant(generator.normal(size=(5, 6))),
        "head.weight": constant(generator.normal(size=(37, 6))),
    }
    nodes = [
        Node("patch", Conv2d((1, 1), (1, 1)), ("x", "patch.weight")),
        Node("tokens", Reshape((1, 6, 16)), ("patch",)),
        Node("rows", Transpose((0, 2, 1)), ("tokens",)),
        Node("windows", Reshape((4, 4, 6)), ("rows",)),
        Node("codes", Quantize(grid), ("windows",)),
        Node("columns", Transpose((0, 2, 1)), ("codes",)),
        Node("qk", MatMul(), ("codes", "columns")),
        Node("scores", Dequantize(), ("qk",)),
        Node("mixed", MatMul(), ("scores", "windows")),
        Node("back", Reshape((1, 16, 6)), ("mixed",)),
        Node("positions", Reshape((1, 5, 6)), ("table",)),
        Node("all", Concat(1), ("positions", "back")),
        Node("pooled", Mean((1,)), ("all",)),
        Node("head", Linear(), ("pooled", "head.weight")),
    ]
    return build("windows", {"x": TensorSpec((1, 2, 4, 4))}, constants, nodes, ["head"])


def equal(left, right):
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert value.dtype == right[name].dtype
        np.testing.assert_array_equal(value, right[name], err_msg=name)


def test_equals_a_naive_evaluation(mlp, images):
    everything = [node.name for node in mlp.nodes]
    values, wanted = simulate(mlp, {"x": images}, everything), naive(mlp, {"x": images})
    equal(values, {name: wanted[name] for name in values})
    assert set(values) == set(everything)
    assert (values["fc1.x"].dtype, values["fc1.acc"].dtype, values["fc1"].dtype) == (np.uint8, np.int32, np.float64)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("chunk", [1, 2, 3, 7])
def test_threads_and_chunks_change_no_bit(mlp, windows, images, threads, chunk):
    everything = [node.name for node in mlp.nodes]
    equal(
        simulate(mlp, {"x": images}, everything, threads=threads, chunk=chunk),
        simulate(mlp, {"x": images}, everything, threads=1, chunk=11),
    )
    x = np.random.default_rng(1).normal(0, 3, (11, 2, 4, 4))
    everything = [node.name for node in windows.nodes]
    equal(
        simulate(windows, {"x": x}, everything, threads=threads, chunk=chunk),
        simulate(windows, {"x": x}, everything, threads=1, chunk=11),
    )


def test_windows_of_an_image_lie_along_the_batch_axis(windows):
    x = np.random.default_rng(1).normal(0, 3, (3, 2, 4, 4))
    values = simulate(windows, {"x": x}, ["codes", "qk", "positions"], chunk=2)
    assert {name: value.shape for name, value in values.items()} == {
        "head": (3, 37),
        "codes": (12, 4, 6),
        "qk": (12, 4, 4),
        "positions": (1, 5, 6),  # made of constants alone, it has no batch
    }
    equal(values, {name: naive(windows, {"x": x})[name] for name in values})


def test_keep_gives_outputs_and_any_value_by_name(mlp, images):
    values = simulate(mlp, {"x": images}, ("x", "fc1.weight", "scores"))
    assert list(values) == ["scores", "x", "fc1.weight"]
    np.testing.assert_array_equal(values["x"], images)
    np.testing.assert_array_equal(values["fc1.weight"], mlp.constants["fc1.weight"])


def test_replace_feeds_the_readers_and_keeps_what_was_computed(mlp, images):
    other = np.zeros((11, 3, 7), np.uint8)
    values = simulate(mlp, {"x": images}, ["fc2.x", "fc2.acc"], replace={"fc2.x": other}, chunk=3)
    plain = simulate(mlp, {"x": images}, ["fc2.x", "fc2.acc"])
    np.testing.assert_array_equal(values["fc2.x"], plain["fc2.x"])
    sums = -2 * mlp.constants["fc2.weight"].astype(int).sum(axis=1)
    np.testing.assert_array_equal(values["fc2.acc"], np.broadcast_to(sums, (11, 3, 5)))
    same = simulate(mlp, {"x": images}, ["fc2.x", "fc2.acc"], replace={"fc2.x": plain["fc2.x"]})
    equal(same, plain)


def test_replace_of_windows_and_of_a_constant_value(windows):
    x = np.random.default_rng(1).normal(0, 3, (3, 2, 4, 4))
    plain = simulate(windows, {"x": x}, ["codes", "positions"])
    forced = {name: plain[name] for name in ("codes", "positions")}
    equal(simulate(windows, {"x": x}, ["codes", "positions"], replace=forced, chunk=2), plain)


def test_progress_counts_images(mlp, images):
    seen = []
    simulate(mlp, {"x": images}, chunk=4, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(4, 11), (8, 11), (11, 11)]


def two_inputs():
    specs = {"a": TensorSpec((1, 2)), "b": TensorSpec((1, 2))}
    return build("pair", specs, {}, [Node("sum", Add(), ("a", "b"))], ["sum"])


ONES = np.ones((2, 2))


@pytest.mark.parametrize(
    ("feeds", "text"),
    [
        ({"a": ONES}, "b: every input of the graph must be fed, got ['a']; add it"),
        ({}, "a: every input of the graph must be fed, got []; add it"),
        ({"a": ONES, "b": ONES, "c": ONES}, "input: unknown name, got 'c'; known, nearest first: a, b"),
        ({"a": ONES, "b": np.ones((2, 3))}, "b: images must have shape (images, *(2,)), got (2, 3); resize them"),
        ({"a": ONES, "b": np.ones((0, 2))}, "b: images must have shape (images, *(2,)), got (0, 2); resize them"),
        ({"a": ONES, "b": np.ones(2)}, "b: images must have shape (images, *(2,)), got (2,); resize them"),
        ({"a": ONES, "b": np.ones(())}, "b: images must have shape (images, *(2,)), got (); resize them"),
        ({"a": ONES, "b": ONES * np.nan}, "b: images must be finite, got NaN or infinity; clean them"),
        ({"a": ONES, "b": ONES * np.inf}, "b: images must be finite, got NaN or infinity; clean them"),
        (
            {"a": ONES, "b": np.ones((2, 2), np.uint8)},
            "b: images must be floats, got uint8; scale and normalise them as in training",
        ),
        (
            {"a": ONES, "b": ONES > 0},
            "b: images must be floats, got bool; scale and normalise them as in training",
        ),
        ({"a": ONES, "b": np.ones((3, 2))}, "pair: inputs must hold equally many images, got [2, 3]; cut the longer"),
    ],
)
def test_bad_feeds(feeds, text):
    with pytest.raises(HwsimError) as caught:
        simulate(two_inputs(), feeds)
    assert str(caught.value) == text


@pytest.mark.parametrize("width", [np.float16, np.float32, np.float64])
def test_floats_of_any_width_are_images(width):
    values = simulate(two_inputs(), {"a": ONES, "b": ONES.astype(width) / 2})
    np.testing.assert_array_equal(values["sum"], ONES * 1.5)


def test_windows_as_an_input_come_in_whole_images():
    graph = build("w", {"x": TensorSpec((4, 2))}, {}, [Node("y", Gelu(), ("x",))], ["y"])
    assert simulate(graph, {"x": np.ones((8, 2))}, chunk=1)["y"].shape == (8, 2)
    with pytest.raises(HwsimError) as caught:
        simulate(graph, {"x": np.ones((6, 2))})
    assert str(caught.value) == "x: images must have shape (images, *(2,)), got (6, 2); resize them"


def test_codes_as_an_input():
    grid = QuantSpec(4, False, (0.5,), (3,))
    graph = build("c", {"x": TensorSpec((1, 2), grid)}, {}, [Node("y", Transpose((0, 1)), ("x",))], ["y"])
    assert simulate(graph, {"x": np.array([[0, 15]], np.int64)})["y"].dtype == np.uint8
    for bad, got in ((np.array([[0, 16]]), "int64 0..16"), (np.array([[0.0, 1.5]]), "float64 0.0..1.5")):
        with pytest.raises(HwsimError) as caught:
            simulate(graph, {"x": bad})
        assert str(caught.value) == f"x: codes must be integers in 0..15, got {got}; quantize them"
    signs = TensorSpec((1, 2), BipolarSpec((0.5,)))
    with pytest.raises(HwsimError, match=r"^x: bipolar codes must be -1 or 1, got 0; quantize them$"):
        simulate(build("b", {"x": signs}, {}, [], ["x"]), {"x": np.array([[-1, 0]])})


def test_unknown_names(mlp, images):
    with pytest.raises(UnknownName, match=r"^node: unknown name, got 'fc1\.y'; known, nearest first: fc1\.x, "):
        simulate(mlp, {"x": images}, ["fc1.y"])
    for name in ("fc1.y", "x", "fc1.weight"):  # only what a node makes can be replaced
        with pytest.raises(UnknownName, match=rf"^node: unknown name, got '{name}'; known, nearest first: "):
            simulate(mlp, {"x": images}, replace={name: images})


def test_a_replacement_must_hold_all_images(mlp, images):
    with pytest.raises(HwsimError) as caught:
        simulate(mlp, {"x": images}, replace={"fc1": np.zeros((10, 3, 7))})
    assert str(caught.value) == "fc1: a replacement must have shape (11, 3, 7), got (10, 3, 7); give all images"


def test_an_error_names_the_node(mlp, images):
    poison = np.full((11, 3, 5), np.nan)
    with pytest.raises(IllegalModel) as caught:
        simulate(mlp, {"x": images}, replace={"norm": poison})
    assert str(caught.value) == "fc1.x: codes are made of finite numbers, got NaN or infinity; check the input"


def test_feeds_and_constants_are_left_alone(mlp, images):
    before = images.copy()
    images.setflags(write=False)
    simulate(mlp, {"x": images})
    np.testing.assert_array_equal(images, before)


@dataclass(frozen=True, slots=True)
class Watch(Op):
    """Copies; notes how many of the copies made before are alive."""

    seen: tuple[list, ...]

    def infer(self, inputs):
        return inputs[0]

    def run(self, values, inputs, out):
        self.seen[1].append(sum(reference() is not None for reference in self.seen[0]))
        copy = values[0] + 1
        self.seen[0].append(weakref.ref(copy))
        return copy


def test_values_are_freed_after_their_last_use():
    for keep, alive in (((), [0, 1, 1, 1, 1]), (("n0", "n2"), [0, 1, 2, 2, 3])):
        watch = Watch(([], []))
        nodes = [Node(f"n{i}", watch, (f"n{i - 1}" if i else "x",)) for i in range(5)]
        graph = build("chain", {"x": TensorSpec((1, 3))}, {}, nodes, ["n4"])
        values = simulate(graph, {"x": np.zeros((1, 3))}, keep)
        assert watch.seen[1] == alive  # the operand, and what is kept
        assert values["n4"].tolist() == [[5.0] * 3]


@dataclass(frozen=True, slots=True)
class Slow(Op):
    """Takes two milliseconds, and notes that it was called."""

    calls: list

    def infer(self, inputs):
        return inputs[0]

    def run(self, values, inputs, out):
        self.calls.append(time.sleep(0.002))
        return values[0]


def test_an_interrupt_stops_the_rest():
    def interrupt(done, total):
        raise KeyboardInterrupt

    slow = Slow([])
    graph = build("f", {"x": TensorSpec((1, 2))}, {}, [Node("y", slow, ("x",))], ["y"])
    with pytest.raises(KeyboardInterrupt):
        simulate(graph, {"x": np.zeros((300, 2))}, threads=1, chunk=1, progress=interrupt)
    assert len(slow.calls) < 150


@pytest.mark.parametrize(("images", "size"), [(0, 4), (1, 4), (4, 4), (9, 4), (5, 1)])
def test_chunks_cover_all(images, size):
    parts = list(chunks(images, size))
    assert [i for part in parts for i in range(images)[part]] == list(range(images))
    assert all(0 < part.stop - part.start <= size for part in parts)


def test_operators_are_values(mlp):
    assert all(dataclasses.replace(node.op) == node.op for node in mlp.nodes)
