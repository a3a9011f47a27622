"""What the integers of a tensor mean (S1, S14), and what flows on a wire of the graph.

S1: real = scale * (q - zero_point), q an integer in [qmin, qmax]. A scale is a label on the wire: only Quantize and
Requantize make new codes (S2, S4). S14: codes that are not uniform stand for integers by a table.

Shapes are per image: an activation's leading axis is the batch, and its first entry says how many rows of that axis one
image makes, so (1, 197, 384) are the 197 tokens of each image and (64, 49, 96) the 64 windows of each image.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.fields import check_fields

FLOAT_BITS = 32
"""Width at which a float value is counted and stored by the cost model; the simulator computes islands in float64."""

MAX_BITS = 32
"""Widest integer on a wire: the accumulator's container is int32."""

MAX_SHIFT_BITS = 8
"""Widest code of a grid that is not uniform: a table of at most 256 values, in a byte."""


@dataclass(frozen=True, slots=True)
class QuantSpec:
    """An affine grid (S1): `bits` wide codes; one scale and zero point per tensor, or one per index along `axis`."""

    bits: int
    signed: bool
    scale: tuple[float, ...]
    zero_point: tuple[int, ...] = (0,)
    axis: int | None = None

    def __post_init__(self) -> None:
        check_types(self)
        check_bits("QuantSpec", self.bits, MAX_BITS)
        check_scale("QuantSpec", self.scale, self.axis)
        if len(self.zero_point) != len(self.scale):
            raise ValueError(
                f"QuantSpec: as many zero points as scales are needed, got {len(self.zero_point)} for {len(self.scale)}"
            )
        for index, zero in enumerate(self.zero_point):
            if not self.qmin <= zero <= self.qmax:
                raise ValueError(f"QuantSpec: zero_point must be in {self.qmin}..{self.qmax}, got {zero} at {index}")

    @property
    def qmin(self) -> int:
        """Smallest code."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def qmax(self) -> int:
        """Largest code."""
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    @property
    def container(self) -> np.dtype[Any]:
        """The narrowest integer type that holds every code."""
        return narrowest(self.qmin, self.qmax)

    def codebook(self) -> npt.NDArray[np.int64]:
        """Every code there is, ascending."""
        return np.arange(self.qmin, self.qmax + 1, dtype=np.int64)

    def to_real(self, codes: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
        """S1 on an array of codes of any shape that has the axis."""
        zero = along(self.zero_point, self.axis, codes.ndim, np.int64)
        real: npt.NDArray[np.float64] = (codes.astype(np.int64) - zero) * along(
            self.scale, self.axis, codes.ndim, np.float64
        )
        return real

    def moved_to(self, axis: int | None) -> "QuantSpec":
        """The same meaning with the per-channel axis elsewhere, as after a transpose."""
        return self if self.axis == axis else dataclasses.replace(self, axis=axis)


@dataclass(frozen=True, slots=True)
class BipolarSpec:
    """The 1-bit grid without a zero: real = scale * q with q in {-1, +1}."""

    scale: tuple[float, ...]
    axis: int | None = None

    bits = 1
    signed = True
    qmin = -1
    qmax = 1

    def __post_init__(self) -> None:
        check_types(self)
        check_scale("BipolarSpec", self.scale, self.axis)

    @property
    def zero_point(self) -> tuple[int, ...]:
        """Always zero."""
        return (0,) * len(self.scale)

    @property
    def container(self) -> np.dtype[Any]:
        """Two codes, kept as int8."""
        return np.dtype(np.int8)

    def codebook(self) -> npt.NDArray[np.int64]:
        """Both codes."""
        return np.array([-1, 1], dtype=np.int64)

    def to_real(self, codes: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
        """Scale times code, for codes of any shape that has the axis."""
        real: npt.NDArray[np.float64] = codes.astype(np.float64) * along(self.scale, self.axis, codes.ndim, np.float64)
        return real

    def moved_to(self, axis: int | None) -> "BipolarSpec":
        """The same meaning with the per-channel axis elsewhere."""
        return self if self.axis == axis else dataclasses.replace(self, axis=axis)


@dataclass(frozen=True, slots=True)
class ShiftSpec:
    """A grid that is not uniform (S14): code c = 0..2**bits-1 means scale * value(c), with the integer
    value(c) = (significand[c] << shift[c]) - zero.

    boundaries: between each two neighbouring of the distinct values one number, ascending, in units of the scale. A real
    x gets the value whose interval holds x / scale; on a boundary the larger one. Of codes with equal values only the
    lowest is ever made. Make one with a file of `hwsim.grids`.
    """

    bits: int
    scale: tuple[float, ...]
    significand: tuple[int, ...]
    shift: tuple[int, ...]
    boundaries: tuple[float, ...]
    zero: int = 0
    axis: int | None = None

    signed = False
    qmin = 0

    def __post_init__(self) -> None:
        check_types(self)
        check_bits("ShiftSpec", self.bits, MAX_SHIFT_BITS)
        check_scale("ShiftSpec", self.scale, self.axis)
        counts = len(self.significand), len(self.shift)
        if counts != (1 << self.bits,) * 2:
            raise ValueError(
                f"ShiftSpec: {1 << self.bits} significands and shifts are needed, got {counts[0]} and {counts[1]}"
            )
        for code, (significand, shift) in enumerate(zip(self.significand, self.shift, strict=True)):
            if not 0 <= shift <= 62:
                raise ValueError(f"ShiftSpec: shift must be 0..62, got {shift} at {code}; lower the bits")
            shifted = significand << shift
            if max(signed_bits(0, shifted), signed_bits(self.zero, shifted - self.zero)) > MAX_BITS:
                raise ValueError(
                    f"ShiftSpec: values must fit {MAX_BITS} bits, got ({significand} << {shift}) - {self.zero} "
                    f"at {code}; lower the bits"
                )
        values = self.values()[self.order()].tolist()
        if len(values) < 2:
            raise ValueError(f"ShiftSpec: two distinct values are needed, got {values[0]} for all codes")
        if len(self.boundaries) != len(values) - 1:
            raise ValueError(
                f"ShiftSpec: {len(values)} values have {len(values) - 1} boundaries, got {len(self.boundaries)}"
            )
        for boundary, low, high in zip(self.boundaries, values, values[1:], strict=False):
            if not low < boundary < high:
                raise ValueError(f"ShiftSpec: a boundary must lie between {low} and {high}, got {boundary}")

    @property
    def qmax(self) -> int:
        """Largest code."""
        return (1 << self.bits) - 1

    @property
    def zero_point(self) -> tuple[int, ...]:
        """Always zero: `zero` is part of the values."""
        return (0,) * len(self.scale)

    @property
    def container(self) -> np.dtype[Any]:
        """Codes are bytes."""
        return np.dtype(np.uint8)

    def codebook(self) -> npt.NDArray[np.int64]:
        """Every code there is, ascending."""
        return np.arange(1 << self.bits, dtype=np.int64)

    @property
    def banks(self) -> int:
        """Sums that a product keeps whose operand's codes shift: one per mantissa, as log-sqrt2's two; one where all are
        multiplied and at most two shifts follow, as twin-uniform's."""
        pairs = [(abs(s), shift) for s, shift in zip(self.significand, self.shift, strict=True) if s]
        mantissas, shifts = {s for s, _ in pairs}, {shift for _, shift in pairs}
        return len(mantissas) if len(shifts) > 2 else 1

    def values(self) -> npt.NDArray[np.int64]:
        """The integer that each code stands for, by code."""
        shifted = np.array(self.significand, dtype=np.int64) << np.array(self.shift, dtype=np.int64)
        return shifted - self.zero

    def order(self) -> npt.NDArray[np.int64]:
        """The codes that are made, by ascending value: the lowest code of each distinct value."""
        return np.unique(self.values(), return_index=True)[1].astype(np.int64)

    def to_real(self, codes: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
        """Scale times value, for codes of any shape that has the axis."""
        real: npt.NDArray[np.float64] = self.values()[codes] * along(self.scale, self.axis, codes.ndim, np.float64)
        return real

    def moved_to(self, axis: int | None) -> "ShiftSpec":
        """The same meaning with the per-channel axis elsewhere."""
        return self if self.axis == axis else dataclasses.replace(self, axis=axis)


IntegerSpec = QuantSpec | BipolarSpec | ShiftSpec


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Shape (per image where `batched`) and a format: float (`quant is None`: a float island) or codes with a meaning."""

    shape: tuple[int, ...]
    quant: IntegerSpec | None = None
    batched: bool = True

    def __post_init__(self) -> None:
        check_types(self)
        if any(size < 1 for size in self.shape) or (self.batched and not self.shape):
            raise ValueError(f"TensorSpec: sizes must be 1 or more, got {self.shape}")
        axis = None if self.quant is None else self.quant.axis
        if self.quant is not None and axis is not None:
            if not 0 <= axis < len(self.shape) or (self.batched and axis == 0):
                raise ValueError(f"TensorSpec: no channel axis {axis} in shape {self.shape}")
            if len(self.quant.scale) != self.shape[axis]:
                raise ValueError(
                    f"TensorSpec: axis {axis} has {self.shape[axis]} channels, got {len(self.quant.scale)} scales"
                )

    @property
    def bits(self) -> int:
        """Bits of one element as the cost model counts them: the code's width, or 32 for a float."""
        return FLOAT_BITS if self.quant is None else self.quant.bits

    @property
    def elements(self) -> int:
        """Number of elements (of one image, where batched)."""
        return math.prod(self.shape)

    def shaped(self, shape: tuple[int, ...]) -> "TensorSpec":
        """The same format with another shape."""
        return dataclasses.replace(self, shape=shape)

    def __str__(self) -> str:
        sizes = [str(size) for size in self.shape]
        if self.batched:
            sizes[0] = "B" if self.shape[0] == 1 else f"{self.shape[0]}B"
        return f"({', '.join(sizes)}) {describe(self.quant)}"


def describe(quant: IntegerSpec | None) -> str:
    """`float`, or width and granularity: `u4 per_tensor scale=0.12 zero_point=3`, `s4 per_channel(axis=0, n=384)`."""
    if quant is None:
        return "float"
    match quant:
        case BipolarSpec():
            head = "bipolar"
        case ShiftSpec():
            head = f"shift{quant.bits}"
        case QuantSpec():
            head = f"{'s' if quant.signed else 'u'}{quant.bits}"
    if quant.axis is not None:
        return f"{head} per_channel(axis={quant.axis}, n={len(quant.scale)})"
    zero = f" zero_point={quant.zero_point[0]}" if quant.zero_point[0] else ""
    return f"{head} per_tensor scale={quant.scale[0]:.4g}{zero}"


def check_types(spec: IntegerSpec | TensorSpec) -> None:
    """Raise ValueError unless every field of `spec` is of its declared type."""
    kind = type(spec)
    values = {name: getattr(spec, name) for name in kind.__dataclass_fields__}
    check_fields(kind.__name__, kind, values, "convert it")


def check_bits(owner: str, bits: int, most: int, least: int = 1) -> None:
    """Raise ValueError unless `bits` is least..most."""
    if not least <= bits <= most:
        raise ValueError(f"{owner}: bits must be {least}..{most}, got {bits}")


def check_scale(owner: str, scale: Sequence[float], axis: int | None) -> None:
    """Raise ValueError unless `scale` is one positive, normal, finite number, or one or more along an `axis`."""
    if not scale or (axis is None and len(scale) != 1):
        raise ValueError(f"{owner}: a per_tensor grid has one scale, got {len(scale)}; give the axis of the others")
    for index, value in enumerate(scale):
        if not (math.isfinite(value) and value >= np.finfo(np.float64).tiny):
            raise ValueError(f"{owner}: scale must be positive, normal and finite, got {value} at {index}; calibrate")


def along(values: Sequence[float], axis: int | None, ndim: int, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """`values` as an array that broadcasts along `axis` of an `ndim`-dimensional tensor; 0-d where per tensor."""
    array = np.asarray(values, dtype=dtype)
    if axis is None:
        return array.reshape(())
    return array.reshape((1,) * axis + (-1,) + (1,) * (ndim - axis - 1))


@lru_cache(maxsize=256)
def narrowest(low: int, high: int) -> np.dtype[Any]:
    """The narrowest of int8, int16, int32 that holds low..high, or of uint8, uint16, uint32 where low is not negative."""
    signed, unsigned = (np.int8, np.int16, np.int32), (np.uint8, np.uint16, np.uint32)
    for dtype in signed if low < 0 else unsigned:
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return np.dtype(dtype)
    raise ValueError(f"narrowest: no integer container of 32 bits holds {low}..{high}")


def signed_bits(low: int, high: int) -> int:
    """Bits of the narrowest two's-complement integer that holds low..high."""
    return max((value if value >= 0 else ~value).bit_length() for value in (low, high)) + 1
