"""The bits file: how wide the operands of each product are, layer by layer.

    {"about": "whatever you like", "bits": {"*": [8, 8], "blocks.*.mlp.fc?": [8, 4], "blocks.0.mlp.fc1": [8, 8]}}

JSON. Keys of `bits` are names of products, or patterns of them (`*` any text, `?` one letter, in shell fashion); values are
[a_bits, w_bits], the widths of the first and the second operand: activations and weights, or both activations in the products
of attention. Each is 1..10, or 32 for float; machines price 1..8 and 32 alone. Where several patterns match a product, the
last of them holds.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from hwsim.accel.strict_json import read_object
from hwsim.catalog import nearest
from hwsim.errors import BadFile, HwsimError
from hwsim.files import write_text
from hwsim.spec import FLOAT_BITS

Widths = tuple[int, int]
"""(a_bits, w_bits) of one product."""

WIDEST = 10
"""Bits of the widest integer operand: what mixed precision around 8 bits asks for (PTQ-ViT, arXiv 2106.14156)."""

REMEDY = "make one with `hwsim search --out FILE`"
_KIND = "a bits file"


@dataclass(frozen=True, slots=True)
class LayerBits:
    """Widths by name or pattern, in the order in which they are tried; `source` names them in errors."""

    widths: tuple[tuple[str, Widths], ...]
    about: str = ""
    source: str = "bits"

    @classmethod
    def of(cls, widths: Mapping[str, Widths], about: str = "") -> "LayerBits":
        """The widths of a mapping."""
        return cls(tuple(widths.items()), about)

    @classmethod
    def read(cls, path: Path) -> "LayerBits":
        """The bits file `path`; raises BadFile in one line."""
        content = read_object(path, _KIND, ("about", "bits"), REMEDY)
        about, bits = content.get("about", ""), content.get("bits")
        if not isinstance(about, str):
            raise BadFile(f"{path}: about must be a text, got {about!r}; put it in quotes")
        if not isinstance(bits, dict) or not bits:
            raise BadFile(f'{path}: bits must be an object of [a_bits, w_bits], got {bits!r}; write "bits": {{...}}')
        return cls(parsed(bits, str(path)), about, str(path))

    def write(self, path: Path) -> None:
        """Write the bits file `path`, whole or not at all."""
        lines = ",\n".join(f"    {json.dumps(name)}: {list(widths)}" for name, widths in self.widths)
        write_text(f'{{\n  "about": {json.dumps(self.about)},\n  "bits": {{\n{lines}\n  }}\n}}\n', path)

    def resolve(self, products: Iterable[str]) -> dict[str, Widths]:
        """(a_bits, w_bits) of each of `products`, in their order.

        Raises HwsimError where a product has no width, or a pattern matches none of them.
        """
        known = tuple(products)
        found: dict[str, Widths] = {}
        for pattern, widths in self.widths:
            matched = [name for name in known if matches(pattern, name)]
            if not matched:
                raise HwsimError(
                    f"{self.source}: each name must match a product of the model, got {pattern!r}; the nearest are "
                    f"{', '.join(nearest(pattern, known)[:3])}"
                )
            found.update(dict.fromkeys(matched, widths))
        if missing := [name for name in known if name not in found]:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise HwsimError(
                f'{self.source}: every product needs its widths, got none for {missing[0]}{more}; add it, or "*" first'
            )
        return {name: found[name] for name in known}


def matches(pattern: str, name: str) -> bool:
    """Whether the product `name` is called `pattern`, or matches it."""
    return pattern == name or fnmatchcase(name, pattern)


def legal(bits: Any, widest: int = 8) -> bool:
    """Whether `bits` is a width that an operand may have: 1..widest, or 32 for float."""
    return type(bits) is int and (1 <= bits <= widest or bits == FLOAT_BITS)


def parsed(bits: Mapping[str, Any], source: str) -> tuple[tuple[str, Widths], ...]:
    """Widths by name from what JSON gives for `bits`; raises BadFile, which names the `source`."""
    return tuple((name, _widths(value, name, source)) for name, value in bits.items())


def _widths(value: Any, name: str, source: str) -> Widths:
    if not isinstance(value, list) or len(value) != 2 or not all(legal(width, WIDEST) for width in value):
        raise BadFile(
            f"{source}: {name} must be [a_bits, w_bits], each 1..{WIDEST} or 32, got {value!r}; write it as [8, 4]"
        )
    return value[0], value[1]
