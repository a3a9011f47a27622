"""Every way a checkpoint can be wrong is one BadFile line."""

import copy
import json
import pickle
import re

import pytest
import safetensors.torch
import torch

import workloads
from hwsim.errors import BadFile, UnknownName
from hwsim.tensors import write_tensors
from qmodels import builder, checkpoint, data, models, widths
from qmodels.calibrate import calibrate
from qmodels.evaluation import accuracy
from qmodels.quantizer import SCALE_FLOOR, Quantizer

REMEDY = "; make one with `hwsim train`"


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    made = models.quantize(models.create("digits_deit"), workloads.find("digits_w4a4").bits, "qvit")
    return calibrate(made, torch.randn(4, 1, 32, 32))


@pytest.fixture
def path(model, tmp_path):
    checkpoint.save(model, "digits_w4a4", tmp_path / "c.safetensors", {"epochs": "3"})
    return tmp_path / "c.safetensors"


def _rewrite(path, change, **metadata):
    """Write `path` again with `change`d tensors and `metadata`, and an honest digest."""
    tensors, own = checkpoint.read(path)
    change(tensors)
    own = {key: value for key, value in own.items() if key not in ("format", "sha256")}
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    write_tensors(arrays, {**own, **metadata}, checkpoint.FORMAT, path)


def _fails(path, message):
    with pytest.raises(BadFile) as caught:
        checkpoint.load(path)
    assert "\n" not in str(caught.value)
    assert re.fullmatch(re.escape(f"{path}: ") + message, str(caught.value)), str(caught.value)


def test_round_trip(model, path):
    loaded, workload = checkpoint.load(path)
    assert workload.name == "digits_w4a4"
    assert not loaded.training
    assert all(m.calibrated for m in loaded.modules() if isinstance(m, Quantizer))
    images = torch.randn(3, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(loaded(images), model(images))
    metadata = checkpoint.read(path)[1]
    assert metadata["epochs"] == "3"
    assert {"format", "workload", "sha256", "torch", "timm"} <= set(metadata)


def test_missing_file(tmp_path):
    _fails(tmp_path / "none", re.escape("must be a file of format hwsim-checkpoint/1, got no such file" + REMEDY))


def test_a_folder(tmp_path):
    _fails(tmp_path, re.escape("must be a file of format hwsim-checkpoint/1, got Is a directory" + REMEDY))


def test_truncated_in_the_tensors(path):
    data = path.read_bytes()
    path.write_bytes(data[:-100])
    _fails(path, r"is truncated, tensors must have (\d+) bytes, got \d+" + re.escape(REMEDY))


def test_truncated_in_the_header(path):
    path.write_bytes(path.read_bytes()[:100])
    _fails(path, r"is truncated, header must have \d+ bytes, got 92" + re.escape(REMEDY))


@pytest.mark.parametrize(
    "data", [b"", b"\x01", pickle.dumps({"a": 1}), b"once upon a time there was", b"\x02\0\0\0\0\0\0\0{]", b"\0" * 50]
)
def test_not_safetensors(path, data):
    path.write_bytes(data)
    _fails(path, r"must be a safetensors file, got b['\"].*['\"] at its start" + re.escape(REMEDY))


@pytest.mark.parametrize("header", [[], {"a": 3}, {"a": {"data_offsets": ["x", "y"]}}, {"__metadata__": 3}])
def test_a_header_of_the_wrong_shape(path, header):
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"\0" * 100)
    with pytest.raises(BadFile):
        checkpoint.load(path)


def test_another_safetensors_file(path):
    path.write_bytes(safetensors.torch.save({"a": torch.zeros(1)}))
    _fails(path, re.escape("must be a file of format hwsim-checkpoint/1, got no format" + REMEDY))
    path.write_bytes(safetensors.torch.save({"a": torch.zeros(1)}, {"format": "pt"}))
    _fails(path, re.escape("must be a file of format hwsim-checkpoint/1, got no format" + REMEDY))


def test_unknown_workload(path):
    _rewrite(path, lambda _tensors: None, workload="digits_w4a5x")
    with pytest.raises(UnknownName, match="workload: unknown name, got 'digits_w4a5x'"):
        checkpoint.load(path)


def test_of_another_model(path):
    end = "; check the workload it names"
    _rewrite(path, lambda tensors: tensors.pop("norm.weight"))
    _fails(path, re.escape("is of another model, got no tensor norm.weight" + end))


def test_with_an_unexpected_tensor(path):
    _rewrite(path, lambda tensors: tensors.update(extra=torch.zeros(1)))
    _fails(path, re.escape("is of another model, got an unexpected tensor extra; check the workload it names"))


def test_with_another_shape(path):
    _rewrite(path, lambda tensors: tensors.update({"norm.weight": torch.zeros(4)}))
    _fails(path, re.escape("is of another model, norm.weight must be (48,), got (4,); check the workload"))


@pytest.mark.parametrize(("value", "word"), [(torch.nan, "nan"), (torch.inf, "inf"), (-torch.inf, "-inf")])
def test_not_finite(path, value, word):
    _rewrite(path, lambda tensors: tensors["head.weight"][2].__setitem__(5, value))
    _fails(path, re.escape(f"values must be finite, got {word} in head.weight at [2, 5]" + REMEDY))


def test_scales_are_written_as_they_are_used(model, path):
    learned = copy.deepcopy(model)
    with torch.no_grad():
        learned.head.weight_quantizer.scale[3].neg_()
        learned.head.input_quantizer.scale.zero_()
    checkpoint.save(learned, "digits_w4a4", path)
    loaded, _ = checkpoint.load(path)
    assert torch.equal(loaded.head.weight_quantizer.scale, model.head.weight_quantizer.scale)
    assert loaded.head.input_quantizer.scale.item() == pytest.approx(SCALE_FLOOR)
    images = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(loaded(images), learned(images))


@pytest.mark.parametrize(("value", "word"), [(0.0, "0"), (-0.5, "-0.5"), (9e-9, "9e-09"), (1e-40, "9.99995e-41")])
def test_scales_that_would_be_used_as_something_else(path, value, word):
    name = "head.weight_quantizer.scale"
    _rewrite(path, lambda tensors: tensors[name].__setitem__(3, value))
    _fails(path, re.escape(f"{name} must be at least 1e-08, got {word} at 3" + REMEDY))


def test_digest(path):
    data = bytearray(path.read_bytes())
    data[-4] ^= 1
    path.write_bytes(bytes(data))
    _fails(path, r"must have sha256 [0-9a-f]{12}, got [0-9a-f]{12}; the file is damaged, " + re.escape(REMEDY[2:]))


def test_of_another_workload(path):
    with pytest.raises(BadFile, match="must be a checkpoint of digits_w2a2, got one of digits_w4a4"):
        builder.build("digits_w2a2", path)


def test_a_place_that_cannot_be_written(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadFile, match="cannot be written"):
        checkpoint.save(model, "digits_w4a4", tmp_path / "file" / "c.safetensors")


SHIPPED = [name for name in workloads.names() if workloads.find(name).checkpoint]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_checkpoints_reach_the_accuracy_they_state(name):
    workload = workloads.find(name)
    path = builder.shipped(workload)
    metadata = checkpoint.read(path)[1]
    model = builder.build(name)
    for split in ("validation", "test"):
        images, labels = data.load(workload, split)
        stated = float(metadata[f"{split}_accuracy"])
        assert abs(accuracy(model, images, labels) - stated) <= 1.5 / len(labels)  # one image may sit on the fence
    assert stated > {"digits_float": 0.97, "digits_w8a8": 0.97, "digits_w4a4": 0.965, "digits_w2a2": 0.9}[name]


def test_shipped_checkpoints_are_small_and_say_how_they_were_made():
    paths = [builder.shipped(workloads.find(name)) for name in SHIPPED]
    assert sum(path.stat().st_size for path in paths) < 2e6
    for path, name in zip(paths, SHIPPED, strict=True):
        metadata, recipe = checkpoint.read(path)[1], workloads.find(name).recipe
        assert metadata["workload"] == name
        assert [metadata[k] for k in ("epochs", "seed", "lr", "teacher")] == [
            str(getattr(recipe, k)) for k in ("epochs", "seed", "lr", "teacher")
        ]


MIXED = {
    "blocks.*": (6, 6),
    "blocks.0.*": (4, 4),
    "blocks.2.mlp.*": (8, 8),
    "blocks.3.attn.qk": (9, 10),
    "head": (8, 10),
}


@pytest.fixture(scope="module")
def mixed():
    torch.manual_seed(0)
    made = models.quantize(models.create("digits_deit"), workloads.find("digits_w4a4").bits, "qvit", layer_bits=MIXED)
    return calibrate(made, torch.randn(4, 1, 32, 32))


@pytest.fixture
def mixed_path(mixed, tmp_path):
    checkpoint.save(mixed, "digits_w4a4", tmp_path / "m.safetensors")
    return tmp_path / "m.safetensors"


def test_widths_of_layers_come_back(mixed, mixed_path, path):
    own = json.loads(checkpoint.read(mixed_path)[1]["layer_bits"])
    assert own["blocks.3.attn.qk"] == [9, 10]
    assert own["blocks.1.mlp.fc1"] == [6, 6]
    assert len(own) == 26
    loaded, _ = checkpoint.load(mixed_path)
    assert widths.of(loaded) == widths.of(mixed) == {name: tuple(pair) for name, pair in own.items()}
    images = torch.randn(3, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(loaded(images), mixed(images))
    assert widths.of(builder.build("digits_w4a4", mixed_path)) == widths.of(mixed)
    assert "layer_bits" not in checkpoint.read(path)[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[8", "layer_bits must be a JSON object of [a_bits, w_bits], got '[8'" + REMEDY),
        ("[]", "layer_bits must be a JSON object of [a_bits, w_bits], got '[]'" + REMEDY),
        ("[" * 5000, f"layer_bits must be a JSON object of [a_bits, w_bits], got '{'[' * 60}'" + REMEDY),
        (
            '{"head": [8, 11]}',
            "layer_bits: head must be [a_bits, w_bits], each 1..10 or 32, got [8, 11]; write it as [8, 4]",
        ),
        ('{"head": 8}', "layer_bits: head must be [a_bits, w_bits], each 1..10 or 32, got 8; write it as [8, 4]"),
        (
            '{"heed": [8, 8]}',
            "layer_bits: each name must match a product of the model, got 'heed'; the nearest are head, "
            "patch_embed.proj, blocks.0.attn.av",
        ),
    ],
)
def test_widths_that_are_none(mixed_path, text, message):
    _rewrite(mixed_path, lambda _tensors: None, layer_bits=text)
    _fails(mixed_path, re.escape(message))


def test_widths_of_another_quantizer(mixed_path):
    """Float where the file has a quantizer: its tensors are one too many."""
    _rewrite(mixed_path, lambda _tensors: None, layer_bits='{"head": [32, 32]}')
    _fails(
        mixed_path,
        re.escape(
            "is of another model, got an unexpected tensor head.input_quantizer.scale; check the workload it names"
        ),
    )
