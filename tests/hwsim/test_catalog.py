import pytest

from hwsim import catalog
from hwsim.errors import HwsimError, UnknownName
from hwsim.ops.layernorm import LayerNorm


def test_names_and_find():
    names = catalog.names("hwsim.ops")
    assert names == tuple(sorted(names))
    assert {"linear", "layernorm", "softmax"} <= set(names)
    assert not any(name.startswith("_") for name in names)
    assert catalog.find("hwsim.ops", "layernorm") is LayerNorm


@pytest.mark.parametrize("name", ["quantize", "softmax", "gelu", "layernorm"])
def test_the_thing_of_the_file_not_what_it_imports(name):
    """These files import a kernel of their own name."""
    assert catalog.find("hwsim.ops", name).__module__ == f"hwsim.ops.{name}"


def test_an_unknown_name_is_answered_with_the_nearest_first():
    with pytest.raises(UnknownName) as caught:
        catalog.find("hwsim.ops", "layer_norm", "operator")
    ordered = catalog.nearest("layer_norm", catalog.names("hwsim.ops"))
    known = f"{', '.join(ordered[:12])} and {len(ordered) - 12} more"
    assert str(caught.value) == f"operator: unknown name, got 'layer_norm'; known, nearest first: {known}"
    assert known.startswith("layernorm, ")
    assert isinstance(caught.value, HwsimError)


def test_private_files_and_paths_are_no_names():
    for name in ("_product", "", "../spec", "hwsim.ops.linear", "Linear"):
        with pytest.raises(UnknownName):
            catalog.find("hwsim.ops", name)


def test_nearest_then_alphabet():
    assert catalog.nearest("b", ["d", "c", "B", "ab"]) == ["B", "ab", "c", "d"]
    assert str(catalog.unknown("node", "x", [])) == "node: unknown name, got 'x'; known, nearest first: "


@pytest.mark.parametrize(("count", "end"), [(11, "k"), (12, "k, l"), (13, "k, l and 1 more"), (26, "k, l and 14 more")])
def test_a_long_list_is_cut(count, end):
    letters = "abcdefghijklmnopqrstuvwxyz"
    text = str(catalog.unknown("letter", "?", letters[:count]))
    assert text.endswith(f"nearest first: a, b, c, d, e, f, g, h, i, j, {end}")
