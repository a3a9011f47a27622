"""Requantize (S4): q = clamp(round_shift(acc * multiplier, shift) + zero_point), integers in, integers out.

A ratio of scales becomes a dyadic multiplier, multiplier / 2**shift. Rounding modes: `half_even` (ONNX, torch),
`half_up` (TOSA SINGLE_ROUND), `double_round` (TOSA DOUBLE_ROUND, gemmlowp), `floor`.
"""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from hwsim.kernels.requantize import ROUNDINGS, requantize
from hwsim.op import Action, Array, Op, Specs, need, need_axes
from hwsim.spec import QuantSpec, TensorSpec, describe

MULTIPLIER_BITS = 31


@dataclass(frozen=True, slots=True)
class Requantize(Op):
    """Accumulators to codes of `spec`: one `multiplier` (0 < m < 2**31) and `shift` (1..62), or one per channel of
    `axis`, the channel axis of the accumulator."""

    spec: QuantSpec
    multiplier: tuple[int, ...]
    shift: tuple[int, ...]
    axis: int | None = None
    rounding: str = "half_even"

    onnx = "QuantizeLinear"

    def __post_init__(self) -> None:
        if self.rounding not in ROUNDINGS:
            raise ValueError(f"requantize: rounding must be one of {', '.join(ROUNDINGS)}, got {self.rounding!r}")
        if len(self.multiplier) != len(self.shift) or not self.multiplier:
            raise ValueError(f"requantize: one shift per multiplier, got {len(self.shift)} for {len(self.multiplier)}")
        for multiplier, shift in zip(self.multiplier, self.shift, strict=True):
            if not (0 < multiplier < 1 << MULTIPLIER_BITS and 1 <= shift <= 62):
                raise ValueError(
                    f"requantize: multiplier must be 1..2**31-1 and shift 1..62, got {multiplier} and {shift}"
                )

    def infer(self, inputs: Specs) -> TensorSpec:
        """The accumulator's shape with the meaning of `spec`."""
        (acc,) = inputs
        need(acc.quant is not None, "requantize takes integers", acc, "quantize floats instead")
        assert acc.quant is not None
        need(not any(acc.quant.zero_point), "an accumulator has zero_point 0", acc, "centre it before")
        need(acc.quant.qmax < 1 << 31, "an accumulator is a signed integer of 32 bits", acc, "make it signed")
        need(self.spec.axis is None, "requantized codes have one scale", describe(self.spec), "give it per tensor")
        need_axes(() if self.axis is None else (self.axis,), acc)
        need(not acc.batched or self.axis != 0, "the batch has no channels", self.axis, "choose another axis")
        channels = 1 if self.axis is None else acc.shape[self.axis]
        need(len(self.multiplier) == channels, f"{channels} multipliers are needed", len(self.multiplier), "check axis")
        return TensorSpec(acc.shape, self.spec, acc.batched)

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """S4 with a 64-bit product."""
        (acc,) = values
        axis = self.axis
        outer = 1 if axis is None else math.prod(acc.shape[:axis])
        channels = 1 if axis is None else acc.shape[axis]
        codes = np.empty((outer, channels, acc.size // (outer * channels)), dtype=self.spec.container)
        requantize(
            np.ascontiguousarray(acc, dtype=np.int32).reshape(codes.shape),
            np.asarray(self.multiplier, dtype=np.int64),
            np.asarray(self.shift, dtype=np.int64),
            self.spec.zero_point[0],
            self.spec.qmin,
            self.spec.qmax,
            ROUNDINGS.index(self.rounding),
            codes,
        )
        return codes.reshape(acc.shape)

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """One requantize (multiply, shift, clamp) per element."""
        return Counter({Action("requantize", inputs[0].bits, out.bits): out.elements})


def dyadic(ratio: float, bits: int = MULTIPLIER_BITS) -> tuple[int, int]:
    """The multiplier of `bits` bits and the shift whose quotient is nearest to `ratio`; bits=1 gives a power of two.

    Raises ValueError where the ratio is not positive and finite, or needs a shift outside 1..62.
    """
    if not (math.isfinite(ratio) and ratio > 0):
        raise ValueError(f"dyadic: a ratio of scales must be positive and finite, got {ratio}")
    mantissa, exponent = math.frexp(ratio)  # ratio = mantissa * 2**exponent, mantissa in [0.5, 1)
    multiplier = round(mantissa * (1 << bits))
    shift = bits - exponent
    if multiplier == 1 << bits:
        multiplier, shift = multiplier >> 1, shift - 1
    while shift > 62 and multiplier % 2 == 0:
        multiplier, shift = multiplier >> 1, shift - 1
    if not 1 <= shift <= 62:
        raise ValueError(
            f"dyadic: the ratio must be within 2**{bits - 63}..2**{bits - 1}, got {ratio}; rescale one side"
        )
    return multiplier, shift
