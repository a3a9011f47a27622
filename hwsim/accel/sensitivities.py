"""The sensitivity file: how much each layer loses at each width that it may have.

    {"about": "KL divergence of the predictions ...", "unit": "nat",
     "layers": {"patch_embed.proj": {"w8a8": 0}, "blocks.*.attn.qk": {"w8a8": 0, "w4a4": 0.013}, ...}}

JSON. Keys of `layers` are names of products, or patterns of them as in a bits file (see `layer_bits`): what one entry matches
has the same widths throughout, and its losses are of all of it together. Each product belongs to one entry. An entry's keys
are the widths that may be chosen, weights and activations (in a product of two activations `w` is the second operand); its
values are what is lost there: 0 or more, in any unit, as long as losses of layers may be added up. One width alone is a layer
that stays as it is. `hwsim sensitivity` writes such a file; one measured elsewhere will do.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwsim.accel.layer_bits import Widths, matches
from hwsim.accel.strict_json import read_object
from hwsim.catalog import nearest
from hwsim.errors import BadFile, HwsimError
from hwsim.files import write_text
from workloads.bits import Bits

REMEDY = "make one with `hwsim sensitivity CHECKPOINT --out FILE`"
_KIND = "a sensitivity file"


@dataclass(frozen=True, slots=True)
class Group:
    """Products that share their widths: the entry's name, what it matches, the widths to choose from, the loss at each."""

    name: str
    products: tuple[str, ...]
    choices: tuple[Widths, ...]
    losses: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Sensitivities:
    """For each name or pattern the loss at each (a_bits, w_bits); `source` names them in errors."""

    layers: tuple[tuple[str, tuple[tuple[Widths, float], ...]], ...]
    unit: str = ""
    about: str = ""
    source: str = "sensitivities"

    @classmethod
    def read(cls, path: Path) -> "Sensitivities":
        """The sensitivity file `path`; raises BadFile in one line."""
        content = read_object(path, _KIND, ("about", "unit", "layers"), REMEDY)
        about, unit, layers = content.get("about", ""), content.get("unit", ""), content.get("layers")
        for key, value in (("about", about), ("unit", unit)):
            if not isinstance(value, str):
                raise BadFile(f"{path}: {key} must be a text, got {value!r}; put it in quotes")
        if not isinstance(layers, dict) or not layers:
            raise BadFile(f"{path}: layers must be an object of losses by width, got {layers!r}; {REMEDY}")
        return cls(tuple((name, _losses(value, name, path)) for name, value in layers.items()), unit, about, str(path))

    def write(self, path: Path) -> None:
        """Write the sensitivity file `path`, whole or not at all; losses with six digits."""
        lines = ",\n".join(
            f"    {json.dumps(name)}: {json.dumps({_word(widths): float(f'{loss:.6g}') for widths, loss in losses})}"
            for name, losses in self.layers
        )
        said = "".join(f"  {json.dumps(key)}: {json.dumps(getattr(self, key))},\n" for key in ("about", "unit"))
        write_text(f'{{\n{said}  "layers": {{\n{lines}\n  }}\n}}\n', path)

    def groups(self, products: Iterable[str]) -> tuple[Group, ...]:
        """The entries with the products that each matches, in the order of the file.

        Raises HwsimError where a product belongs to no entry or to two, or an entry matches none.
        """
        known = tuple(products)
        owner: dict[str, str] = {}
        groups = []
        for name, losses in self.layers:
            matched = tuple(product for product in known if matches(name, product))
            if not matched:
                raise HwsimError(
                    f"{self.source}: each entry must match a product of the model, got {name!r}; the nearest are "
                    f"{', '.join(nearest(name, known)[:3])}"
                )
            for product in matched:
                if product in owner:
                    raise HwsimError(
                        f"{self.source}: each product must belong to one entry, got {product} in {owner[product]!r} and "
                        f"{name!r}; narrow one of them"
                    )
                owner[product] = name
            groups.append(Group(name, matched, *zip(*losses, strict=True)))
        if missing := [product for product in known if product not in owner]:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise HwsimError(
                f"{self.source}: every product needs an entry, got none for {missing[0]}{more}; one that stays as it is "
                'has one width, as {"w8a8": 0}'
            )
        return tuple(groups)


def _losses(value: Any, name: str, path: Path) -> tuple[tuple[Widths, float], ...]:
    if not isinstance(value, dict) or not value:
        raise BadFile(f'{path}: {name} must be an object of losses, got {value!r}; write it as {{"w4a4": 0.01}}')
    found: dict[Widths, float] = {}
    for word, loss in value.items():
        try:
            bits = Bits.parse(word)
        except HwsimError as error:
            raise BadFile(f"{path}: {name}: {error}") from None
        widths = (bits.activations, bits.weights)
        if widths in found:
            raise BadFile(f"{path}: {name} must give each width once, got {bits.name} twice; leave one out")
        if type(loss) not in (int, float) or not 0 <= loss < math.inf:
            raise BadFile(f"{path}: {name} at {word} must lose a number, 0 or more, got {loss!r}; measure it again")
        found[widths] = float(loss)
    return tuple(found.items())


def _word(widths: Widths) -> str:
    return Bits(widths[1], widths[0]).name
