"""The sensitivity file: groups of products, and what is refused."""

import json

import pytest

from hwsim.accel.sensitivities import Group, Sensitivities
from hwsim.errors import BadFile, HwsimError

PRODUCTS = ("patch_embed.proj", "blocks.0.mlp.fc1", "blocks.1.mlp.fc1", "head")
LAYERS = {"patch_embed.proj": {"w8a8": 0}, "blocks.*": {"w8a8": 0, "w4a8": 0.5, "w2a2": 3}, "head": {"w8a8": 0}}


def read(tmp_path, content):
    path = tmp_path / "s.json"
    path.write_text(json.dumps(content))
    return Sensitivities.read(path)


def test_an_entry_is_a_group_of_products(tmp_path):
    found = read(tmp_path, {"unit": "nat", "layers": LAYERS})
    assert found.unit == "nat"
    assert found.groups(PRODUCTS) == (
        Group("patch_embed.proj", ("patch_embed.proj",), ((8, 8),), (0.0,)),
        Group("blocks.*", ("blocks.0.mlp.fc1", "blocks.1.mlp.fc1"), ((8, 8), (8, 4), (2, 2)), (0.0, 0.5, 3.0)),
        Group("head", ("head",), ((8, 8),), (0.0,)),
    )


def test_what_is_written_is_read_again(tmp_path):
    found = read(tmp_path, {"unit": "nat", "about": "a", "layers": LAYERS})
    found.write(tmp_path / "s.json")
    assert Sensitivities.read(tmp_path / "s.json") == found


def test_losses_are_written_with_six_digits(tmp_path):
    Sensitivities((("head", (((4, 2), 1 / 3),)),)).write(tmp_path / "s.json")
    assert json.loads((tmp_path / "s.json").read_text())["layers"] == {"head": {"w2a4": 0.333333}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {},
            "layers must be an object of losses by width, got None; make one with `hwsim sensitivity CHECKPOINT --out",
        ),
        ({"layers": {"a": {}}}, 'a must be an object of losses, got {}; write it as {"w4a4": 0.01}'),
        ({"layers": {"a": {"4": 1}}}, "a: bits: must read like w4a4, got '4'; weights and activations are 1..8 or 32"),
        ({"layers": {"a": {"w9a4": 1}}}, "a: bits: weights must be 1..8 or 32, got 9; 32 is float"),
        ({"layers": {"a": {"w4a4": 1, "W4A4": 1}}}, "a must give each width once, got w4a4 twice; leave one out"),
        ({"layers": {"a": {"w4a4": -1}}}, "a at w4a4 must lose a number, 0 or more, got -1; measure it again"),
        ({"layers": {"a": {"w4a4": "1"}}}, "a at w4a4 must lose a number, 0 or more, got '1'; measure it again"),
        ({"layers": {"a": {"w4a4": True}}}, "a at w4a4 must lose a number, 0 or more, got True; measure it again"),
        (
            {"layers": {"a": {"w4a4": float("nan")}}},
            "a at w4a4 must lose a number, 0 or more, got nan; measure it again",
        ),
        (
            {"layers": {"a": {"w4a4": float("inf")}}},
            "a at w4a4 must lose a number, 0 or more, got inf; measure it again",
        ),
        ({"layers": {"a": {"w4a4": 1}}, "unit": None}, "unit must be a text, got None; put it in quotes"),
    ],
)
def test_a_wrong_file_is_one_line(content, message, tmp_path):
    with pytest.raises(BadFile) as caught:
        read(tmp_path, content)
    assert str(caught.value).startswith(f"{tmp_path / 's.json'}: {message}")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("*", "nock"), "each entry must match a product of the model, got 'nock'; the nearest are "),
        (
            ("*", "head"),
            "each product must belong to one entry, got head in '*' and 'head'; narrow one of them",
        ),
        (
            ("head",),
            "every product needs an entry, got none for patch_embed.proj and 2 more; one that stays as it is has one "
            'width, as {"w8a8": 0}',
        ),
    ],
)
def test_entries_and_products_must_meet(names, message):
    with pytest.raises(HwsimError) as caught:
        Sensitivities(tuple((name, (((8, 8), 0.0),)) for name in names)).groups(PRODUCTS)
    assert str(caught.value).startswith(f"sensitivities: {message}")
