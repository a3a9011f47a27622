"""Requantize (S4): q = clamp(round_shift((x - zero_x) * multiplier + offset, shift) + zero_point), integers to integers.

x is an accumulator, or codes with zero points. A ratio of scales becomes a dyadic multiplier, multiplier / 2**shift; a
bias becomes an offset of the product, in steps far below those of the accumulator.
Rounding modes: `half_even` (ONNX, torch), `half_up` (TOSA SINGLE_ROUND), `double_round` (TOSA DOUBLE_ROUND, gemmlowp),
`floor`. Scales and zero points of x, multipliers and those of the result lie along one `axis`, each of them alone or per
channel.
"""

import math
import sys
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

import numpy as np

from hwsim.errors import IllegalModel
from hwsim.kernels.memory import empty, inverse, memory_order
from hwsim.kernels.requantize import ROUNDINGS, requantize
from hwsim.kernels.simd.rescale import ROWS, rescale_rows, rescale_runs
from hwsim.op import Action, Array, Op, Specs, bounds, need, need_axes
from hwsim.ops._rescale import words
from hwsim.spec import BipolarSpec, QuantSpec, TensorSpec, describe

MULTIPLIER_BITS = 31
SHIFT_MAX = 62
TINY = sys.float_info.min
ROW = 1024
"""Elements of a row whose constants are repeated for each element, where channels lie outside of short runs."""


@dataclass(frozen=True, slots=True)
class Requantize(Op):
    """Integers to codes of `spec`: one `multiplier` (0 <= m < 2**31) and `shift` (1..62), or one per channel of `axis`."""

    spec: QuantSpec
    multiplier: tuple[int, ...]
    shift: tuple[int, ...]
    axis: int | None = None
    rounding: str = "half_even"
    offset: tuple[int, ...] = ()

    onnx = "QuantizeLinear"

    def __post_init__(self) -> None:
        if self.rounding not in ROUNDINGS:
            raise ValueError(f"requantize: rounding must be one of {', '.join(ROUNDINGS)}, got {self.rounding!r}")
        if len(self.multiplier) != len(self.shift) or not self.multiplier:
            raise ValueError(f"requantize: one shift per multiplier, got {len(self.shift)} for {len(self.multiplier)}")
        for multiplier, shift in zip(self.multiplier, self.shift, strict=True):
            if not (0 <= multiplier < 1 << MULTIPLIER_BITS and 1 <= shift <= SHIFT_MAX):
                raise ValueError(
                    f"requantize: multiplier must be 0..2**31-1 and shift 1..62, got {multiplier} and {shift}"
                )

    @classmethod
    def between(
        cls,
        x: TensorSpec,
        out: QuantSpec,
        *,
        factor: tuple[float, ...] = (1.0,),
        factor_axis: int | None = None,
        bias: tuple[float, ...] = (),
        bias_axis: int | None = None,
        bits: int = MULTIPLIER_BITS,
        rounding: str = "half_even",
    ) -> Self:
        """What brings `factor` times the reals of `x`, plus `bias`, onto the grid `out`.

        multiplier = scale_x * factor / scale_out, offset = bias / scale_out * 2**shift. factor: positive, one number or
        one per index of `factor_axis`; bias: likewise, or none; bits: significant bits of a multiplier (`dyadic`).
        Raises IllegalModel where channels lie along different axes, or where a ratio is 2**30 or more.
        """
        quant = x.quant
        need(quant is not None, "requantize takes integers", x, "quantize floats instead")
        assert quant is not None
        affine = isinstance(out, QuantSpec)
        need(affine, "requantized codes are of an affine grid", describe(out), "use a table instead")
        legal = all(math.isfinite(value) and value > 0 for value in factor)
        need(legal, "a factor must be positive and finite", factor, "fold its sign into the weights")
        axes = {axis for axis in (quant.axis, out.axis, factor_axis, bias_axis) if axis is not None}
        need(len(axes) < 2, "all channels must lie along one axis", sorted(axes), "make all but one per tensor")
        axis = next(iter(axes), None)
        need_axes(axes, x)
        channels = 1 if axis is None else x.shape[axis]
        terms = bias or (0.0,)
        of_bias = ("biases", terms, bias_axis if bias else None)
        for name, values, along in (("factors", factor, factor_axis), ("scales", out.scale, out.axis), of_bias):
            wanted = 1 if along is None else channels
            need(len(values) == wanted, f"{wanted} {name} are needed", len(values), "check the axis")
        columns = (values * (channels // len(values)) for values in (quant.scale, factor, out.scale, terms))
        multiplier, shift, offset = [], [], []
        for scale, times, step, term in zip(*columns, strict=True):
            room = SHIFT_MAX - max(0, math.frexp(term / step)[1])  # of the shift, so that an offset is below 2**62
            try:
                m, s = dyadic(max(scale / step * times, TINY), bits, max(1, room))
            except ValueError as error:
                raise IllegalModel(str(error)) from None
            multiplier.append(m)
            shift.append(s)
            offset.append(round(Fraction(term) / Fraction(step) * (1 << s)))
        return cls(out, tuple(multiplier), tuple(shift), axis, rounding, tuple(offset) if bias else ())

    def infer(self, inputs: Specs) -> TensorSpec:
        """The shape of x with the meaning of `spec`."""
        (x,) = inputs
        need(x.quant is not None, "requantize takes integers", x, "quantize floats instead")
        uniform = isinstance(x.quant, QuantSpec | BipolarSpec)
        need(uniform, "requantize takes codes of an affine grid", x, "multiply by shifting first")
        assert x.quant is not None
        affine = isinstance(self.spec, QuantSpec)
        need(affine, "requantized codes are of an affine grid", describe(self.spec), "use a table instead")
        need_axes(() if self.axis is None else (self.axis,), x)
        need(not x.batched or self.axis != 0, "the batch has no channels", self.axis, "choose another axis")
        for spec in (x.quant, self.spec):
            aligned = spec.axis in (None, self.axis)
            need(
                aligned, f"channels must lie along axis {self.axis}", describe(spec), "give multipliers along that axis"
            )
        channels = 1 if self.axis is None else x.shape[self.axis]
        need(len(self.multiplier) == channels, f"{channels} multipliers are needed", len(self.multiplier), "check axis")
        need(len(self.offset) in (0, channels), f"{channels} offsets are needed", len(self.offset), "check axis")
        if self.offset:
            most = max(abs(end) for end in bounds(x)) * max(self.multiplier) + max(map(abs, self.offset))
            need(
                most < 1 << 63, "a product and its offset must stay below 2**63", most, "lower the bits of the operand"
            )
        return TensorSpec(x.shape, self.spec, x.batched)

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """S4 with a 64-bit product, in the order of axes that x has in memory."""
        (x,) = values
        order = memory_order(x)
        inner = x.transpose(order)
        codes = empty(inner.shape, self.spec.container)
        place = None if self.axis is None else order.index(self.axis)
        if not _in_vectors(self, inputs[0], inner, place, codes):
            _one_by_one(self, inputs[0], inner, place, codes)
        return codes.transpose(inverse(order)) if order else codes

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """One requantize (multiply, shift, clamp) per element, and one add of the product's width where there are offsets."""
        counted = Counter({Action("requantize", inputs[0].bits, out.bits): out.elements})
        if self.offset:
            product = inputs[0].bits + max(self.multiplier).bit_length()
            counted[Action("add", product, product)] += out.elements
        return counted


def dyadic(ratio: float, bits: int = MULTIPLIER_BITS, most: int = SHIFT_MAX) -> tuple[int, int]:
    """The multiplier of `bits` significant bits and the shift whose quotient is nearest to `ratio`; bits=1 gives a power
    of two.

    A shift is 1..most. A ratio that needs a shift to the left has it in the multiplier, as trailing zeros; one that is
    too small loses significant bits, down to a multiplier of 0 (with most = 62, long after any 32-bit integer came to
    round to 0).
    Raises ValueError where the ratio is not positive and finite, or is 2**30 or more.
    """
    if not 1 <= bits <= MULTIPLIER_BITS:
        raise ValueError(f"dyadic: a multiplier has 1..{MULTIPLIER_BITS} bits, got {bits}")
    if not (math.isfinite(ratio) and ratio > 0):
        raise ValueError(f"dyadic: a ratio of scales must be positive and finite, got {ratio}")
    mantissa, exponent = math.frexp(ratio)  # ratio = mantissa * 2**exponent, mantissa in [0.5, 1)
    multiplier, shift = round(mantissa * (1 << bits)), bits - exponent
    if multiplier == 1 << bits:
        multiplier, shift = multiplier >> 1, shift - 1
    if shift > most:
        multiplier, shift = round(math.ldexp(ratio, most)), most
    elif shift < 1:
        multiplier, shift = multiplier << min(1 - shift, MULTIPLIER_BITS), 1
    if multiplier >= 1 << MULTIPLIER_BITS:
        raise ValueError(f"dyadic: a ratio of scales must be below 2**30, got {ratio}; rescale one side")
    return multiplier, shift


def _in_vectors(op: Requantize, spec: TensorSpec, x: Array, axis: int | None, out: Array) -> bool:
    """`op` on x, whose channels lie along `axis`, into `out`, by rows or runs of many lanes; False where it needs more
    than 32 of their bits."""
    if x.dtype.kind not in "iu" or x.dtype.itemsize > 4:
        return False
    outer, channels, inner = _split(x, axis)
    by_rows = inner == 1 or (channels * inner <= ROW and outer >= ROWS)
    constants = words(op, spec, inner if by_rows else 1)
    if constants is None:
        return False
    shape = (outer, channels * inner) if by_rows else (outer, channels, inner)
    rows = x.reshape(shape)
    if rows.strides[-1] != rows.itemsize:
        rows = np.ascontiguousarray(rows)
    (rescale_rows if by_rows else rescale_runs)(
        rows,
        constants.left,
        constants.multiplier,
        constants.lanes if by_rows else constants.offset,
        constants.right,
        constants.zero_point,
        op.spec.qmin,
        op.spec.qmax,
        constants.even,
        out.reshape(shape),
    )
    return True


def _split(x: Array, axis: int | None) -> tuple[int, int, int]:
    """Sizes before, along and behind `axis`; without one, behind is all that lies side by side."""
    if axis is not None:
        return math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :])
    inner, place = 1, x.ndim
    while place and x.strides[place - 1] == inner * x.itemsize:
        place -= 1
        inner *= x.shape[place]
    return math.prod(x.shape[:place]), 1, inner


def _one_by_one(op: Requantize, spec: TensorSpec, x: Array, axis: int | None, out: Array) -> None:
    """`op` on x, whose channels lie along `axis`, into `out`."""
    assert spec.quant is not None
    shape = _split(np.ascontiguousarray(x), axis)
    container = np.dtype(np.int32 if spec.quant.qmax < 1 << 31 else np.int64)  # few types, so few compilations
    requantize(
        np.ascontiguousarray(x, dtype=container).reshape(shape),
        _per_channel(spec.quant.zero_point, shape[1]),
        np.asarray(op.multiplier, dtype=np.int64),
        np.asarray(op.shift, dtype=np.int64),
        _per_channel(op.offset or (0,), shape[1]),
        _per_channel(op.spec.zero_point, shape[1]),
        op.spec.qmin,
        op.spec.qmax,
        ROUNDINGS.index(op.rounding),
        out.reshape(shape),
    )


def _per_channel(values: tuple[int, ...], channels: int) -> Array:
    """int64 (channels,) of one value for all, or one for each."""
    return np.broadcast_to(np.asarray(values, dtype=np.int64), (channels,))
