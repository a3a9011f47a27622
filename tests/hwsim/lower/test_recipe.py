import pytest

from hwsim.errors import BadFile, UnknownName
from hwsim.lower import recipe
from hwsim.lower.recipe import Recipe


def test_the_built_in_recipes_are_there_and_say_what_they_follow():
    assert recipe.names() == ("fqvit", "ibert", "ivit", "lut", "p2vit")
    for name in recipe.names():
        found = recipe.find(name)
        assert found.name == name
        assert found.about
        for family in ("softmax", "gelu", "layernorm"):
            assert found.operator(family).stands_for == family


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('softmax = "shiftmax"\nresidual_bits = 12\n')
    assert recipe.find(path) == Recipe(name="mine", softmax="shiftmax", residual_bits=12)
    assert recipe.find(str(path)).name == "mine"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("softmax = ", "mine.toml: must be TOML, got "),
        ('sofmax = "shiftmax"', "mine.toml: unknown key, got 'sofmax'; known, nearest first: softmax, softmax_bits, "),
        ("residual_bits = 30", "mine.toml: residual_bits: input should be less than or equal to 24, got 30; mend it"),
        ("residual_bits = true", "mine.toml: residual_bits: input should be a valid integer, got True; mend it"),
        ('residual_bits = "8"', "mine.toml: residual_bits: input should be a valid integer, got '8'; mend it"),
        ("headroom = nan", "mine.toml: headroom: input should be "),
        (
            'rounding = "up"',
            "mine.toml: rounding: input should be 'half_even', 'half_up', 'double_round' or 'floor', got",
        ),
        (
            "multiplier_bits = 1",
            "mine.toml: multiplier_bits of 1 are shifts alone, which need power_of_two_scales; mend",
        ),
        ('gelu = "shiftgleu"', "recipe mine: gelu: unknown name, got 'shiftgleu'; known, nearest first: shiftgelu, "),
        ('softmax = "gelu"', "recipe mine: softmax: unknown name, got 'gelu'; known, nearest first: "),
    ],
)
def test_what_is_wrong_in_a_file_is_one_line(tmp_path, text, wanted):
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises((BadFile, UnknownName)) as caught:
        recipe.find(tmp_path / "mine.toml")
    assert wanted in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_recipes_and_files():
    with pytest.raises(UnknownName, match=r"^recipe: unknown name, got 'itiv'; known, nearest first: ivit, "):
        recipe.find("itiv")
    with pytest.raises(
        BadFile, match=r"^nowhere\.toml: cannot be read as a recipe, got .*; give a TOML file or one of fq"
    ):
        recipe.find("nowhere.toml")


def test_changed_values_are_checked():
    lut = recipe.find("lut")
    assert lut.changed(residual_bits=8, link_bits=None) == Recipe(**{**lut.model_dump(), "residual_bits": 8})
    with pytest.raises(
        BadFile, match=r"^recipe lut: residual_bits: input should be less than or equal to 24, got 40; mend"
    ):
        lut.changed(residual_bits=40)
