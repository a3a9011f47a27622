"""Damaged files through the command line: each is one exact line on stderr and exit code 2, whatever the verb.

The files are whole and their digests honest; what is wrong is what they say: scales, codes, accumulators, shapes.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from hwsim.cli import run
from hwsim.graph import Node, build
from hwsim.ops.dequantize import Dequantize
from hwsim.ops.linear import Linear
from hwsim.ops.quantize import Quantize
from hwsim.spec import BipolarSpec, QuantSpec, TensorSpec
from hwsim.store import FORMAT, save
from hwsim.tensors import read_tensors, write_tensors

CHECKPOINT = Path(__file__).parents[2] / "qmodels" / "checkpoints" / "digits_w4a4.safetensors"
CHECKPOINT_FORMAT = "hwsim-checkpoint/1"
FEATURES, OUTPUTS = 6, 4
SCALE = "QuantSpec: scale must be positive, normal and finite, got {} at {}; calibrate"
SUBNORMAL = 5e-324


@pytest.fixture
def graph(tmp_path):
    """A graph file: six features quantized to u4, a product with s4 per output channel, its floats."""
    x = QuantSpec(4, False, (0.25,), (7,))
    w = QuantSpec(4, True, (0.5, 0.25, 0.125, 1.0), (0,) * OUTPUTS, 0)
    weight = np.arange(OUTPUTS * FEATURES, dtype=np.int8).reshape(OUTPUTS, FEATURES) % 16 - 8
    signs = np.where(weight < 0, -1, 1).astype(np.int8)
    constants = {
        "fc.weight": (weight, TensorSpec(weight.shape, w, batched=False)),
        "signs": (signs.T.copy(), TensorSpec((FEATURES, OUTPUTS), BipolarSpec((0.5,)), batched=False)),
        "gain": (np.ones(OUTPUTS), TensorSpec((OUTPUTS,), None, batched=False)),
    }
    nodes = [
        Node("fc.input", Quantize(x), ("x",)),
        Node("fc", Linear(), ("fc.input", "fc.weight")),
        Node("fc.dequantize", Dequantize(), ("fc",)),
    ]
    path = tmp_path / "graph.safetensors"
    outputs = ["fc.dequantize", "signs", "gain"]  # constants that nothing reads would be left out
    save(build("small", {"x": TensorSpec((1, FEATURES))}, constants, nodes, outputs), path)
    return path


@pytest.fixture
def images(tmp_path):
    path = tmp_path / "images.npy"
    np.save(path, np.zeros((2, FEATURES)))
    return path


def change_graph(path, change):
    arrays, metadata = read_tensors(path, FORMAT, "")
    content = json.loads(metadata["graph"])
    change(content, arrays)
    write_tensors(arrays, {"graph": json.dumps(content)}, FORMAT, path)


def entry(content, name):
    """The grid that the file gives a constant, an input, or a quantizer."""
    for kind in ("constants", "inputs"):
        if name in content[kind]:
            return content[kind][name]["format"]
    return next(node for node in content["nodes"] if node["name"] == name)["attributes"]["spec"]


def grid(name, key, value):
    return lambda content, _arrays: entry(content, name).update({key: value})


def array(name, place, value):
    def change(_content, arrays):
        arrays[name][place] = value

    return change


def typed(name, dtype):
    return lambda _content, arrays: arrays.update({name: arrays[name].astype(dtype)})


def sized(kind, name, shape):
    return lambda content, _arrays: content[kind][name].update(shape=shape)


def wide(content, _arrays):
    """16-bit codes times 16-bit codes: six products of 2**31 need 34 bits and a sign."""
    entry(content, "fc.input").update(bits=16)
    entry(content, "fc.weight").update(bits=16)


def per_input_channel(content, _arrays):
    entry(content, "fc.input").update(scale=[0.5] * FEATURES, zero_point=[0] * FEATURES, axis=1)


def tiny_scales(content, _arrays):
    """Each scale is legal; their product underflows to zero."""
    entry(content, "fc.input").update(scale=[1e-200])
    entry(content, "fc.weight").update(scale=[1e-200] * OUTPUTS)


def fails(capsys, *arguments):
    code = run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert code == 2, captured.out
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("error: ")
    return captured.err.removeprefix("error: ").rstrip("\n")


REDUCTION = (
    "a scale along the reduction axis cannot be factored out of an integer sum, got (B, 6) u4 per_channel(axis=1, n=6); "
    "use a per-tensor scale, fold the scales into the preceding LayerNorm and the weights (scale reparametrization, "
    "`hwsim trace --fold-input-scales`), shift by factors that are powers of two, or sum a few groups of channels apart"
)
FLOAT = "gain: a float constant must be finite, got NaN, infinity or {}; export it again"
GRAPHS = {
    "zero scale of a weight": (grid("fc.weight", "scale", [0.5, 0.0, 1.0, 1.0]), "fc.weight: " + SCALE.format(0.0, 1)),
    "negative scale": (grid("fc.weight", "scale", [0.5, 1.0, 1.0, -1.0]), "fc.weight: " + SCALE.format(-1.0, 3)),
    "NaN scale": (grid("fc.weight", "scale", [math.nan, 1.0, 1.0, 1.0]), "fc.weight: " + SCALE.format("nan", 0)),
    "subnormal scale": (grid("fc.weight", "scale", [SUBNORMAL] * 4), "fc.weight: " + SCALE.format(SUBNORMAL, 0)),
    "infinite scale": (grid("fc.input", "scale", [math.inf]), "fc.input: " + SCALE.format("inf", 0)),
    "zero scale of a quantizer": (grid("fc.input", "scale", [0.0]), "fc.input: " + SCALE.format(0.0, 0)),
    "negative scale of a quantizer": (grid("fc.input", "scale", [-0.25]), "fc.input: " + SCALE.format(-0.25, 0)),
    "NaN scale of a quantizer": (grid("fc.input", "scale", [math.nan]), "fc.input: " + SCALE.format("nan", 0)),
    "subnormal scale of a quantizer": (grid("fc.input", "scale", [1e-310]), "fc.input: " + SCALE.format(1e-310, 0)),
    "zero bipolar scale": (grid("signs", "scale", [0.0]), "signs: " + SCALE.replace("Quant", "Bipolar").format(0.0, 0)),
    "scales whose product is zero": (tiny_scales, "fc: " + SCALE.format(0.0, 0)),
    "too few scales": (
        grid("fc.weight", "scale", [1.0]),
        "fc.weight: QuantSpec: as many zero points as scales are needed, got 4 for 1",
    ),
    "more scales than channels": (
        lambda content, _: entry(content, "fc.weight").update(scale=[1.0] * 5, zero_point=[0] * 5),
        "fc.weight: TensorSpec: axis 0 has 4 channels, got 5 scales",
    ),
    "scales without an axis": (
        grid("fc.weight", "axis", None),
        "fc.weight: QuantSpec: a per_tensor grid has one scale, got 4; give the axis of the others",
    ),
    "zero point outside the codes": (
        grid("fc.input", "zero_point", [16]),
        "fc.input: QuantSpec: zero_point must be in 0..15, got 16 at 0",
    ),
    "fractional zero point": (
        grid("fc.input", "zero_point", [7.5]),
        "fc.input: QuantSpec: zero_point must be integers, got 7.5 at 0; convert it",
    ),
    "no bits": (grid("fc.input", "bits", 0), "fc.input: QuantSpec: bits must be 1..32, got 0"),
    "code above its grid": (
        array("fc.weight", (1, 2), 8),
        "fc.weight: codes must be in -8..7, got -8..8; export it again",
    ),
    "code below its grid": (
        array("fc.weight", (0, 0), -9),
        "fc.weight: codes must be in -8..7, got -9..7; export it again",
    ),
    "fractional codes": (
        typed("fc.weight", np.float32),
        "fc.weight: codes must be integers, got float32; export it again",
    ),
    "a bipolar zero": (array("signs", (5, 3), 0), "signs: bipolar codes must be -1 or 1, got 0; export it again"),
    "a bipolar two": (array("signs", (0, 0), 2), "signs: codes must be in -1..1, got -1..2; export it again"),
    "integers where floats belong": (typed("gain", np.int64), FLOAT.format("int64")),
    "an accumulator too narrow": (wide, "fc: accumulator needs 35 bits, got 32; lower the bits of an operand"),
    "a scale along the reduction axis": (per_input_channel, "fc: " + REDUCTION),
    "a tensor of another shape": (
        lambda _, arrays: arrays.update({"fc.weight": arrays["fc.weight"][:, :5].copy()}),
        "fc.weight: constant must have shape (4, 6), got (4, 5); trace the model again",
    ),
    "an input of another shape": (
        sized("inputs", "x", [1, 5]),
        "fc: inputs must have 6 features, got (B, 5) u4 per_tensor scale=0.25 zero_point=7; check the layer",
    ),
    "an input without a size": (
        sized("inputs", "x", [1, 0]),
        "x: TensorSpec: sizes must be 1 or more, got (1, 0)",
    ),
}


@pytest.mark.parametrize("case", GRAPHS)
def test_a_graph_file_that_says_what_is_illegal(case, graph, images, capsys):
    change, line = GRAPHS[case]
    change_graph(graph, change)
    assert fails(capsys, "simulate", graph, "--input", images) == f"{graph}: {line}"


def test_the_graph_as_it_was_is_legal(graph, images, capsys):
    change_graph(graph, lambda _content, _arrays: None)
    assert run(["simulate", str(graph), "--input", str(images)]) == 0
    assert capsys.readouterr().err == ""


def test_a_nan_constant(graph, images, capsys):
    change_graph(graph, array("gain", 2, math.nan))
    line = f"{graph}: values must be finite, got nan in gain at [2]; write one with `hwsim trace`"
    assert fails(capsys, "simulate", graph, "--input", images) == line


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (np.zeros((2, 5)), "x: images must have shape (images, *(6,)), got (2, 5); resize them"),
        (np.zeros((0, 6)), "x: images must have shape (images, *(6,)), got (0, 6); resize them"),
        (np.zeros((2, 6), np.uint8), "x: images must be floats, got uint8; scale and normalise them as in training"),
        (np.full((2, 6), np.nan), "x: images must be finite, got NaN or infinity; clean them"),
    ],
)
def test_images_that_do_not_fit(value, line, graph, images, capsys):
    np.save(images, value)
    assert fails(capsys, "simulate", graph, "--input", images) == line


QUANTIZER = "blocks.1.mlp.fc1.input_quantizer.scale"
FINITE = "values must be finite, got {} in {} at [0]; make one with `hwsim train`"
LEAST = "{} must be at least 1e-08, got {} at {}; make one with `hwsim train`"
CHECKPOINTS = {
    "zero": (QUANTIZER, 0, 0.0, LEAST.format(QUANTIZER, 0, 0)),
    "negative": (QUANTIZER, 0, -0.125, LEAST.format(QUANTIZER, -0.125, 0)),
    "subnormal": (QUANTIZER, 0, 1e-40, LEAST.format(QUANTIZER, 9.99995e-41, 0)),
    "NaN": (QUANTIZER, 0, math.nan, FINITE.format("nan", QUANTIZER)),
    "infinite": (QUANTIZER, 0, math.inf, FINITE.format("inf", QUANTIZER)),
    "of one output channel": (
        "head.weight_quantizer.scale",
        7,
        -1.0,
        LEAST.format("head.weight_quantizer.scale", -1, 7),
    ),
}


@pytest.mark.parametrize("verb", ["trace", "verify"])
@pytest.mark.parametrize("case", CHECKPOINTS)
def test_a_scale_in_a_checkpoint_that_no_hardware_has(case, verb, tmp_path, capsys):
    name, place, value, line = CHECKPOINTS[case]
    tensors, metadata = read_tensors(CHECKPOINT, CHECKPOINT_FORMAT, "")
    tensors[name] = tensors[name].copy()
    tensors[name][place] = value
    path = tmp_path / "damaged.safetensors"
    write_tensors(tensors, {key: text for key, text in metadata.items() if key != "sha256"}, CHECKPOINT_FORMAT, path)
    assert fails(capsys, verb, path) == f"{path}: {line}"


def test_a_checkpoint_whose_shapes_disagree(tmp_path, capsys):
    tensors, metadata = read_tensors(CHECKPOINT, CHECKPOINT_FORMAT, "")
    tensors[QUANTIZER] = np.ones(48, np.float32)  # as of a model with one scale per input channel
    path = tmp_path / "damaged.safetensors"
    write_tensors(tensors, {key: text for key, text in metadata.items() if key != "sha256"}, CHECKPOINT_FORMAT, path)
    line = f"{path}: is of another model, {QUANTIZER} must be (1,), got (48,); check the workload"
    for verb in ("trace", "verify"):
        assert fails(capsys, verb, path) == line


def test_a_scale_per_input_channel_is_refused_and_mended(tmp_path, capsys):
    name, out = "digits_deit_w4a4_qvit_released", tmp_path / "graph.safetensors"
    line = fails(capsys, "trace", name)
    assert line == "patch_embed.proj: " + REDUCTION.replace("(B, 6) u4", "(B, 1, 32, 32) u8").replace("n=6", "n=1")
    assert run(["trace", name, "--fold-input-scales", "--out", str(out)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == (  # untrained, all channels have the scale that the released code starts with
        "input scales folded: 18 layers, 0 into a LayerNorm, 0 by an inserted multiplication; SQNR of the model's output "
        "inf dB on 64 images"
    )
    assert told[-1] == f"{name}: {told[-1].split()[1]} nodes, wrote {out}"
    assert len(told) == 21


def test_nothing_to_fold_is_said(tmp_path, capsys):
    out = tmp_path / "graph.safetensors"
    assert run(["trace", str(CHECKPOINT), "--fold-input-scales", "--out", str(out)]) == 0
    assert capsys.readouterr().out.startswith("input scales folded: none, no layer has one scale per input channel\n")


def test_an_unknown_method_in_a_name(capsys):
    line = fails(capsys, "trace", "digits_deit_w4a4_qvit_relesed")
    assert line.startswith("method: unknown name, got 'qvit_relesed'; known, nearest first: qvit_released, ")
