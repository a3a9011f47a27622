"""Bit-widths of a quantized model: W<weights>A<activations>, with the first and last layers at `ends`.

Each is 1..8, or 32 for float. `ends` holds for weights and inputs of the patch embedding and the heads; 8 by default,
as in Q-ViT, and 32 where the whole model is float.
"""

import re
from dataclasses import dataclass

from hwsim.errors import HwsimError

_NAME = re.compile(r"w(\d+)a(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Bits:
    """Bits of weights, of activations, and of both in the first and last layers."""

    weights: int
    activations: int
    ends: int = 8

    def __post_init__(self) -> None:
        for field in ("weights", "activations", "ends"):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int) or not (1 <= value <= 8 or value == 32):
                raise HwsimError(f"bits: {field} must be 1..8 or 32, got {value}; 32 is float")
        if self.is_float:
            object.__setattr__(self, "ends", 32)

    @property
    def is_float(self) -> bool:
        """True where nothing is quantized."""
        return self.weights == 32 and self.activations == 32

    @property
    def name(self) -> str:
        """`w4a4`, as in workload names."""
        return f"w{self.weights}a{self.activations}"

    def __str__(self) -> str:
        return self.name.upper()

    @classmethod
    def parse(cls, text: str) -> "Bits":
        """The bits that `text` (`w4a4`, `W4A8`) names."""
        match = _NAME.fullmatch(text)
        if match is None:
            raise HwsimError(f"bits: must read like w4a4, got {text!r}; weights and activations are 1..8 or 32")
        return cls(int(match[1]), int(match[2]))
