import contextlib
import dataclasses
import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hwsim
from hwsim.errors import BadFile
from hwsim.graph import Node, build
from hwsim.grids.log2 import log2
from hwsim.grids.poweroftwo import poweroftwo
from hwsim.grids.sulq import sulq
from hwsim.ops.conv2d import Conv2d
from hwsim.ops.dequantize import Dequantize
from hwsim.ops.linear import Linear
from hwsim.ops.quantize import Quantize
from hwsim.ops.requantize import Requantize
from hwsim.ops.roll import Roll
from hwsim.ops.slice import Slice
from hwsim.spec import BipolarSpec, QuantSpec, TensorSpec
from hwsim.store import FORMAT, load, save
from hwsim.tensors import read_tensors, write_tensors

AGAIN = "write one with `hwsim trace`"


def same(left, right):
    assert str(left) == str(right)
    assert (left.name, left.inputs, left.nodes, left.outputs) == (right.name, right.inputs, right.nodes, right.outputs)
    assert (dict(left.specs), dict(left.meta)) == (dict(right.specs), dict(right.meta))
    assert left.constants.keys() == right.constants.keys()
    for name, array in left.constants.items():
        assert (array.dtype, array.shape) == (right.constants[name].dtype, right.constants[name].shape)
        np.testing.assert_array_equal(array, right.constants[name])


def refused(path, text, match=str.__eq__):
    with pytest.raises(BadFile) as caught:
        load(path)
    message = str(caught.value)
    assert match(message, text), message
    assert "\n" not in message


@pytest.fixture
def saved(mlp, tmp_path):
    save(mlp, tmp_path / "mlp.safetensors")
    return tmp_path / "mlp.safetensors"


def test_round_trip(mlp, saved, images):
    again = load(saved)
    same(mlp, again)
    np.testing.assert_array_equal(
        hwsim.simulate(mlp, {"x": images})["scores"], hwsim.simulate(again, {"x": images})["scores"]
    )


def test_saved_twice_is_the_same_file(mlp, saved, tmp_path):
    save(mlp, tmp_path / "twice")
    save(load(saved), tmp_path / "again")
    assert saved.read_bytes() == (tmp_path / "twice").read_bytes() == (tmp_path / "again").read_bytes()


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=6)


@given(data=st.data(), names=st.lists(NAMES, min_size=6, max_size=6, unique=True), meta=st.dictionaries(NAMES, NAMES))
def test_any_names_and_grids_round_trip(draw, tmp_path_factory, data, names, meta):
    x, w, acc, codes, rolled, part = names
    weight, spec = draw.tensor(data, (4, 2, 1, 2), batched=False, axis=data.draw(st.sampled_from((None, 0))))
    axis, channels = (None, 1) if spec.quant.axis is None else (1, 4)
    nodes = [
        Node(acc, Conv2d((1, 2), (0, 1)), (x, w)),
        Node(
            codes, Requantize(draw.grid(data), (2**31 - 1,) * channels, (62,) * channels, axis, "double_round"), (acc,)
        ),
        Node(rolled, Roll((1, -2), (2, 3)), (codes,)),
        Node(part, Slice(1, 1, 3), (rolled,)),
    ]
    inputs = {x: TensorSpec((3, 2, 5, 6), draw.grid(data))}
    graph = build("any", inputs, {w: (weight, spec)}, nodes, [part, x], meta)
    path = tmp_path_factory.getbasetemp() / "any"
    save(graph, path)
    same(graph, load(path))


def test_bipolar_and_per_channel_grids_round_trip(tmp_path):
    per_channel = QuantSpec(3, False, (0.1, 1 / 3), (7, 0), 1)
    shifts = dataclasses.replace(sulq(4, eta=3, step=0.7), scale=(0.1, 1 / 3), axis=1)
    for grid in (BipolarSpec((0.5,)), BipolarSpec((0.5, 0.25), 1), per_channel, log2(3), shifts):
        nodes = [Node("q", Quantize(grid), ("x",)), Node("y", Dequantize(), ("q",))]
        graph = build("b", {"x": TensorSpec((1, 2))}, {}, nodes, ["y"])
        save(graph, tmp_path / "b")
        same(graph, load(tmp_path / "b"))


def test_constants_and_inputs_of_codes_that_are_not_uniform_round_trip(tmp_path):
    weight = np.array([[0, 3], [7, 4]], np.uint8)
    constants = {"w": (weight, TensorSpec((2, 2), poweroftwo(3), batched=False))}
    graph = build("s", {"x": TensorSpec((1, 2), log2(2))}, constants, [Node("y", Linear(), ("x", "w"))], ["y"])
    save(graph, tmp_path / "s")
    same(graph, load(tmp_path / "s"))
    feeds = {"x": np.array([[0, 3], [2, 1]], np.uint8)}
    assert hwsim.simulate(load(tmp_path / "s"), feeds)["y"].tolist() == [[16, 0], [4, -8]]
    content = {"graph": read_tensors(tmp_path / "s", FORMAT, AGAIN)[1]["graph"]}
    write_tensors({"w": weight + np.uint8(1)}, content, FORMAT, tmp_path / "s")
    refused(tmp_path / "s", f"{tmp_path / 's'}: w: codes must be in 0..7, got 1..8; export it again")


def test_an_array_in_any_order_is_saved_in_row_order(tmp_path):
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    spec = TensorSpec((2, 3), None, batched=False)
    save(build("f", {"x": TensorSpec((1, 2))}, {"w": (array, spec)}, [], ["w"]), tmp_path / "f")
    np.testing.assert_array_equal(load(tmp_path / "f").constants["w"], array)


def test_cut_anywhere(saved):
    whole = saved.read_bytes()
    for size in [*range(12), *range(12, len(whole), 37), len(whole) - 1]:
        saved.write_bytes(whole[:size])
        refused(saved, f"{saved}: ", str.startswith)
    saved.write_bytes(whole + b"\0")
    refused(saved, f"{saved}: ", str.startswith)


def test_texts_of_cut_files(saved):
    whole = saved.read_bytes()
    header = int.from_bytes(whole[:8], "little")
    data = len(whole) - 8 - header
    for size, text in (
        (len(whole) - 1, f"is truncated, tensors must have {data} bytes, got {data - 1}; {AGAIN}"),
        (1000, f"is truncated, header must have {header} bytes, got 992; {AGAIN}"),
        (0, f"must be a safetensors file, got b'' at its start; {AGAIN}"),
    ):
        saved.write_bytes(whole[:size])
        refused(saved, f"{saved}: {text}")


def test_one_flipped_bit_in_any_tensor(saved):
    whole = saved.read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    for place in range(start, len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        saved.write_bytes(flipped)
        refused(saved, f"{saved}: ", str.startswith)
        with pytest.raises(BadFile, match=r"(must have sha256|values must be finite)"):
            load(saved)


def test_one_changed_byte_in_the_header_is_refused_or_changes_nothing(saved, mlp):
    whole = saved.read_bytes()
    generator = np.random.default_rng(0)
    for place in generator.integers(0, 8 + int.from_bytes(whole[:8], "little"), 600):
        changed = bytearray(whole)
        changed[place] = generator.choice(list(b'0-9e."{}[],:anul\x00\xff'))
        saved.write_bytes(changed)
        with contextlib.suppress(BadFile):
            same(load(saved), mlp)


@pytest.mark.parametrize(
    ("content", "start"),
    [
        (pickle.dumps({"weights": [1, 2, 3]}), rb"b'\x80\x04\x95\x18'"),
        (b"PK\x03\x04 a zip, as torch.save writes", rb"b'PK\x03\x04'"),
        (b"\xff" * 7 + b"\x7f{}", rb"b'\xff\xff\xff\xff'"),
        (b"hello", b"b'hell'"),
    ],
)
def test_not_safetensors(tmp_path, content, start):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    if start.startswith(rb"b'\xff"):
        refused(path, f"{path}: is truncated, header must have {2**63 - 1} bytes, got 2; {AGAIN}")
    else:
        refused(path, f"{path}: must be a safetensors file, got {start.decode()} at its start; {AGAIN}")


def test_missing_and_foreign_files(tmp_path):
    missing = tmp_path / "no.safetensors"
    refused(missing, f"{missing}: must be a file of format {FORMAT}, got no such file; {AGAIN}")
    refused(tmp_path, f"{tmp_path}: must be a file of format {FORMAT}, got Is a directory; {AGAIN}")
    other = tmp_path / "other"
    write_tensors({"w": np.zeros(2)}, {}, "hwsim-checkpoint/1", other)
    refused(other, f"{other}: must be a file of format {FORMAT}, got hwsim-checkpoint/1; {AGAIN}")


def tampered(saved, change):
    """The file with its graph and tensors changed by `change`, its digest made anew."""
    arrays, metadata = read_tensors(saved, FORMAT, "")
    content = json.loads(metadata["graph"])
    change(content, arrays)
    write_tensors(arrays, {"graph": json.dumps(content)}, FORMAT, saved)


def _set(*path):
    *path, key, value = path

    def change(content, arrays):
        for step in path:
            content = content[step]
        content[key] = value

    return change


OUTSIDE = np.full((7, 5), 8, np.int8)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            lambda content, arrays: arrays.pop("fc1.bias"),
            "{}: every constant must be there, got no tensor 'fc1.bias'; trace the model again",
        ),
        (_set("nodes", 5, "op", "gelo"), "{}: operator: unknown name, got 'gelo'; known, nearest first: gelu, "),
        (_set("nodes", 5, "op", "_product"), "{}: operator: unknown name, got '_product'; known, nearest first: "),
        (_set("nodes", 5, "attributes", "x", 1), "{}: the graph cannot be read, got TypeError("),
        (
            _set("nodes", 5, "inputs", ["nothing"]),
            "{}: act: an operand must come before its use, got 'nothing'; reorder",
        ),
        (_set("outputs", ["nothing"]), "{}: mlp: an output must be a value of the graph, got 'nothing'; name a node"),
        (_set("inputs", "x", "shape", [1, 3, 0]), "{}: x: TensorSpec: sizes must be 1 or more, got (1, 3, 0)"),
        (
            _set("inputs", "x", "shape", [1, 3, 6]),
            "{}: norm: weight and bias must be (6,), got (5) float; check the layer",
        ),
        (
            _set("constants", "fc2.weight", "format", "scale", [0.0]),
            "{}: fc2.weight: QuantSpec: scale must be positive, normal and finite, got 0.0 at 0; calibrate",
        ),
        (
            _set("constants", "fc2.weight", "format", "grid", "log4"),
            "{}: the graph cannot be read, got KeyError('log4')",
        ),
        (
            _set("constants", "fc1.bias", "shape", [8]),
            "{}: fc1.bias: constant must have shape (8,), got (7,); trace the model again",
        ),
        (
            lambda content, arrays: arrays.update({"fc1.weight": OUTSIDE}),
            "{}: fc1.weight: codes must be in -8..7, got 8..8; export it again",
        ),
        (
            lambda content, arrays: arrays.update({"fc1.weight": OUTSIDE.astype(float)}),
            "{}: fc1.weight: codes must be integers, got float64; export it again",
        ),
        (
            lambda content, arrays: arrays["fc1.bias"].fill(np.nan),
            "{}: values must be finite, got nan in fc1.bias at [0]; write one with `hwsim trace`",
        ),
        (
            lambda content, arrays: arrays.update({"fc1.bias": np.zeros(7, np.int64)}),
            "{}: fc1.bias: a float constant must be finite, got NaN, infinity or int64; export it again",
        ),
        (
            _set("nodes", 0, "attributes", "epsilon", "x"),
            "{}: norm: layernorm: epsilon must be a float, got 'x'; lower it again",
        ),
        (
            _set("nodes", 1, "attributes", "spec", "bits", 3.5),
            "{}: fc1.x: QuantSpec: bits must be an integer, got 3.5; convert it",
        ),
        (
            _set("nodes", 1, "attributes", "spec", None),
            "{}: fc1.x: quantize: spec must be a QuantSpec or a BipolarSpec or a ShiftSpec, got None; lower it again",
        ),
        (_set("inputs", "x", "shape", "13"), "{}: x: TensorSpec: shape must be integers, got '1' at 0; convert it"),
        (lambda content, arrays: content.clear(), "{}: the graph cannot be read, got KeyError('constants'); trace the"),
    ],
)
def test_tampered_files(saved, change, text):
    tampered(saved, change)
    refused(saved, text.format(saved), str.startswith)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("multiplier", [3.7], "multiplier must be integers, got 3.7 at 0"),
        ("multiplier", [True], "multiplier must be integers, got True at 0"),
        ("shift", [31.5], "shift must be integers, got 31.5 at 0"),
        ("shift", ["x"], "shift must be integers, got 'x' at 0"),
        ("shift", 5, "shift must be a tuple of integers, got 5"),
        ("offset", [0.5], "offset must be integers, got 0.5 at 0"),
        ("offset", [float("nan")], "offset must be integers, got nan at 0"),
        ("axis", 1.0, "axis must be an integer or None, got 1.0"),
        ("rounding", 1, "rounding must be a text, got 1"),
    ],
)
def test_no_attribute_is_of_another_type(tmp_path, key, value, text):
    x = TensorSpec((1, 2), QuantSpec(8, True, (1.0,)))
    path = tmp_path / "r"
    save(build("r", {"x": x}, {}, [Node("fc1", Requantize(x.quant, (3,), (4,), offset=(1,)), ("x",))], ["fc1"]), path)
    load(path)
    tampered(path, _set("nodes", 0, "attributes", key, value))
    refused(path, f"{path}: fc1: requantize: {text}; lower it again")


def test_a_file_without_a_graph(tmp_path):
    path = tmp_path / "empty"
    write_tensors({}, {}, FORMAT, path)
    refused(path, f"{path}: the graph cannot be read, got KeyError('graph'); trace the model again")
    write_tensors({}, {"graph": "[" * 100_000}, FORMAT, path)
    refused(path, f"{path}: the graph cannot be read, got RecursionError(", str.startswith)


def test_unwritable_places(mlp, saved):
    with pytest.raises(BadFile) as caught:
        save(mlp, saved / "below" / "graph")
    assert (
        str(caught.value)
        == f"{saved / 'below' / 'graph'}: cannot be written, got Not a directory; choose another place"
    )
    same(mlp, load(saved))


def test_the_package_saves_and_loads(mlp, tmp_path):
    hwsim.save(mlp, str(tmp_path / "deep" / "er" / "graph"))
    same(mlp, hwsim.load(str(tmp_path / "deep" / "er" / "graph")))
    assert dataclasses.is_dataclass(hwsim.Graph)
