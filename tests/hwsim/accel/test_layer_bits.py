"""The bits file: patterns, their order, and what is refused."""

import json

import pytest

from hwsim.accel.layer_bits import LayerBits
from hwsim.errors import BadFile, HwsimError

PRODUCTS = ("patch_embed.proj", "blocks.0.attn.qk", "blocks.0.mlp.fc1", "blocks.1.mlp.fc1", "head")


def read(tmp_path, content):
    path = tmp_path / "bits.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return LayerBits.read(path)


def test_the_last_pattern_that_matches_holds(tmp_path):
    bits = read(
        tmp_path, {"bits": {"*": [8, 8], "blocks.?.mlp.fc1": [8, 4], "blocks.0.mlp.fc1": [32, 1], "head": [10, 9]}}
    )
    assert bits.resolve(PRODUCTS) == {
        "patch_embed.proj": (8, 8),
        "blocks.0.attn.qk": (8, 8),
        "blocks.0.mlp.fc1": (32, 1),
        "blocks.1.mlp.fc1": (8, 4),
        "head": (10, 9),
    }
    assert tuple(bits.resolve(PRODUCTS)) == PRODUCTS
    turned = read(tmp_path, {"bits": {"blocks.0.mlp.fc1": [2, 2], "*": [8, 8]}})
    assert set(turned.resolve(PRODUCTS).values()) == {(8, 8)}


def test_what_is_written_is_read_again(tmp_path):
    bits = LayerBits.of(dict.fromkeys(PRODUCTS, (8, 4)), 'where "it" is from')
    bits.write(tmp_path / "bits.json")
    again = LayerBits.read(tmp_path / "bits.json")
    assert (again.widths, again.about) == (bits.widths, bits.about)
    assert again.resolve(PRODUCTS) == dict.fromkeys(PRODUCTS, (8, 4))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, 'bits must be an object of [a_bits, w_bits], got None; write "bits": {...}'),
        ({"bits": {}}, 'bits must be an object of [a_bits, w_bits], got {}; write "bits": {...}'),
        ({"bits": {"*": 4}}, "* must be [a_bits, w_bits], each 1..10 or 32, got 4; write it as [8, 4]"),
        ({"bits": {"*": [4]}}, "* must be [a_bits, w_bits], each 1..10 or 32, got [4]; write it as [8, 4]"),
        ({"bits": {"*": [4, 11]}}, "* must be [a_bits, w_bits], each 1..10 or 32, got [4, 11]; write it as [8, 4]"),
        ({"bits": {"*": [4, True]}}, "* must be [a_bits, w_bits], each 1..10 or 32, got [4, True]; write it as [8, 4]"),
        ({"bits": {"*": [4, 4.0]}}, "* must be [a_bits, w_bits], each 1..10 or 32, got [4, 4.0]; write it as [8, 4]"),
        ({"bits": {"*": [4, 4]}, "about": 1}, "about must be a text, got 1; put it in quotes"),
    ],
)
def test_a_wrong_file_is_one_line(content, message, tmp_path):
    with pytest.raises(BadFile) as caught:
        read(tmp_path, content)
    assert str(caught.value) == f"{tmp_path / 'bits.json'}: {message}"


def test_names_and_products_must_meet():
    with pytest.raises(HwsimError) as caught:
        LayerBits.of({"*": (8, 8), "blocks.0.mlp.fc2": (4, 4)}).resolve(PRODUCTS)
    wanted = "bits: each name must match a product of the model, got 'blocks.0.mlp.fc2'; the nearest are "
    assert str(caught.value) == f"{wanted}blocks.0.mlp.fc1, blocks.1.mlp.fc1, blocks.0.attn.qk"
    with pytest.raises(HwsimError) as caught:
        LayerBits.of({"blocks.*": (8, 8)}).resolve(PRODUCTS)
    wanted = 'bits: every product needs its widths, got none for patch_embed.proj and 1 more; add it, or "*" first'
    assert str(caught.value) == wanted
