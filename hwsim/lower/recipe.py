"""A recipe: which integer definition stands for each float island, and how wide the codes between them are.

The built-in ones are the TOML files of `hwsim/lower/recipes`; a user's own file has the same format. Keys that are left
out keep their defaults; unknown keys, wrong types and unknown operators are refused.
"""

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hwsim import catalog
from hwsim.errors import BadFile, UnknownName
from hwsim.op import Op

Width = Annotated[int, Field(ge=2, le=24)]


class Recipe(BaseModel):
    """Operators by name (`hwsim.ops`), and widths in bits."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    name: str
    about: str = ""
    """What it follows: papers and departures, for `hwsim list recipes`."""
    softmax: str = "tablesoftmax"
    gelu: str = "lookup"
    layernorm: str = "ilayernorm"
    score_bits: Width = 10
    """Codes that a softmax reads."""
    least_score_step: Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)] = 0.0
    """Least scale of those codes: the sums of a polynomial exp grow with the inverse square of it."""
    softmax_bits: Width = 16
    """Codes that it makes."""
    gelu_bits: Width = 10
    """Codes that a GELU reads; it makes what its reader wants, or 16 bits."""
    residual_bits: Width = 16
    """The residual stream: fixed point, one scale for all that is added to it."""
    link_bits: Width = 16
    """Codes between operators where nothing else says how wide they are, logits among them."""
    power_of_two_factor: bool = False
    """The residual stream has a scale per channel, a power of two (0 to 2**3) times the smallest (PTF, FQ-ViT)."""
    power_of_two_scales: bool = False
    """Every scale is rounded to a power of two, so that requantizing is a shift (P2-ViT); weights are quantized again."""
    multiplier_bits: Annotated[int, Field(ge=1, le=31)] = 31
    """Width of the dyadic multipliers; 1 allows powers of two alone."""
    rounding: Literal["half_even", "half_up", "double_round", "floor"] = "half_even"
    """How Requantize rounds (S4)."""
    headroom: Annotated[float, Field(ge=1.0, le=16.0, allow_inf_nan=False)] = 1.25
    """Factor on calibrated ranges, for images that were not seen; quantizers of the model keep their own."""

    def changed(self, **values: Any) -> "Recipe":
        """The same with other values, those that are None left as they are; raises BadFile where one is not allowed."""
        given = {key: value for key, value in values.items() if value is not None}
        return checked({**self.model_dump(), **given}, f"recipe {self.name}")

    @model_validator(mode="after")
    def _shifts_need_scales(self) -> "Recipe":
        if self.multiplier_bits == 1 and not self.power_of_two_scales:
            raise ValueError("multiplier_bits of 1 are shifts alone, which need power_of_two_scales")
        return self

    def operator(self, family: str) -> type[Op]:
        """The operator that stands for the island `family` (softmax, gelu, layernorm); raises UnknownName."""
        wanted: str = getattr(self, family)
        known = [name for name in catalog.names("hwsim.ops") if _stands_for(name) == family]
        if wanted not in known:
            raise catalog.unknown(f"recipe {self.name}: {family}", wanted, known)
        operator: type[Op] = catalog.find("hwsim.ops", wanted)
        return operator


def names() -> tuple[str, ...]:
    """The built-in recipes."""
    files = resources.files("hwsim.lower.recipes").iterdir()
    return tuple(sorted(Path(file.name).stem for file in files if file.name.endswith(".toml")))


def find(recipe: str | Path) -> Recipe:
    """The built-in recipe of this name, or the one in a TOML file; raises UnknownName or BadFile in one line."""
    if isinstance(recipe, str) and recipe in names():
        text = resources.files("hwsim.lower.recipes").joinpath(f"{recipe}.toml").read_text(encoding="utf-8")
        return parse(text, recipe)
    path = Path(recipe)
    if not path.suffix and not path.is_file():
        raise catalog.unknown("recipe", str(recipe), names())
    try:
        return parse(path.read_text(encoding="utf-8"), path.stem, str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(
            f"{path}: cannot be read as a recipe, got {error}; give a TOML file or one of {_known()}"
        ) from None


def parse(text: str, name: str, where: str = "") -> Recipe:
    """The recipe that the TOML `text` writes; `name` where it does not name itself."""
    where = where or f"recipe {name}"
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadFile(f"{where}: must be TOML, got {error}; see `hwsim list recipes`") from None
    recipe = checked({"name": name, **values}, where)
    for family in ("softmax", "gelu", "layernorm"):
        recipe.operator(family)
    return recipe


def checked(values: Mapping[str, Any], where: str) -> Recipe:
    """The recipe of these keys; raises BadFile in one line where one is unknown or has a value that is not allowed."""
    try:
        return Recipe(**values)
    except ValidationError as error:
        raise BadFile(_line(where, error)) from None


def _line(where: str, error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = ", ".join(catalog.nearest(key, Recipe.model_fields))
        return f"{where}: unknown key, got {key!r}; known, nearest first: {known}"
    if not key:
        return f"{where}: {first['msg'].removeprefix('Value error, ')}; mend one of them"
    return f"{where}: {key}: {first['msg'][0].lower()}{first['msg'][1:]}, got {first['input']!r}; mend it"


def _stands_for(name: str) -> str:
    try:
        operator: type[Op] = catalog.find("hwsim.ops", name)
    except UnknownName:
        return ""
    return operator.stands_for


def _known() -> str:
    return ", ".join(names())
