"""What the integer LayerNorms share (S11): n * gain + offset in fixed point, rounded to the codes of the output.

`n` is the normalised value as an integer of at most 30 bits and a sign, one of whose steps means `step`. Gains have at
most 31 bits and a sign, offsets 61, so that n * gain + offset stays below 2^62.
"""

import math
from collections import Counter
from typing import Protocol

import numpy as np

from hwsim.kernels.elementwise import layernorm
from hwsim.kernels.integer_norm import affine
from hwsim.kernels.isqrt import isqrt
from hwsim.op import Action, Array, need
from hwsim.ops._codes import WIDTH, check_rounding, need_codes, need_one_scale, rounded
from hwsim.spec import QuantSpec, TensorSpec

N_BITS, GAIN_BITS, OFFSET_BITS = 30, 31, 61
NO_EPSILON = 2.0**-20
"""What an epsilon that rounds to 0 stands for in the float reference, which would else divide 0 by 0."""


class Norm(Protocol):
    """The attributes that every integer LayerNorm has."""

    @property
    def spec(self) -> QuantSpec: ...
    @property
    def gain(self) -> tuple[int, ...]: ...
    @property
    def offset(self) -> tuple[int, ...]: ...
    @property
    def shift(self) -> int: ...
    @property
    def epsilon(self) -> int: ...
    @property
    def rounding(self) -> str: ...


def check_norm(name: str, norm: Norm) -> None:
    """Raise ValueError where gains, offsets, shift, epsilon or rounding are not what the arithmetic has room for."""
    if len(norm.gain) != len(norm.offset) or not norm.gain:
        raise ValueError(f"{name}: one offset per gain, got {len(norm.offset)} for {len(norm.gain)}")
    for what, values, bits in (("gain", norm.gain, GAIN_BITS), ("offset", norm.offset, OFFSET_BITS)):
        for index, value in enumerate(values):
            if abs(value) >= 1 << bits:
                raise ValueError(f"{name}: {what} must be below 2**{bits} in magnitude, got {value} at {index}")
    if norm.epsilon < 0:
        raise ValueError(f"{name}: epsilon must not be negative, got {norm.epsilon}")
    check_rounding(name, norm.rounding, norm.shift)


def norm_spec(what: str, norm: Norm, x: TensorSpec, axis: int | None = None) -> TensorSpec:
    """The spec of the result; IllegalModel where x is not what `norm` can take (S11)."""
    need_codes(x, what, axis)
    need_one_scale(norm.spec, what)
    channels = x.shape[-1]
    need(len(norm.gain) == channels, f"{channels} gains are needed", len(norm.gain), "check the layer")
    return TensorSpec(x.shape, norm.spec, x.batched)


def fixed_point(
    weight: Array, bias: Array, step: float, out: QuantSpec, what: str
) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Gains, offsets and their shift: weight * step / scale * 2^shift and bias / scale * 2^shift, to the nearest, with the
    largest shift up to 62 that leaves both room."""
    need_one_scale(out, what)
    finite = bool(np.isfinite(weight).all() and np.isfinite(bias).all())
    need(finite, f"{what} takes finite weights and biases", "NaN or infinity", "check the checkpoint")
    with np.errstate(over="ignore"):
        gains, offsets = weight.astype(np.float64) * step / out.scale[0], bias.astype(np.float64) / out.scale[0]
    finite = bool(np.isfinite(gains).all() and np.isfinite(offsets).all())
    need(finite, f"{what}'s gains and offsets must be finite", "infinity", "use a coarser output scale")
    widths = (math.frexp(float(np.abs(values).max()))[1] for values in (gains, offsets))
    room = min(bits - 1 - width for bits, width in zip((GAIN_BITS, OFFSET_BITS), widths, strict=True))
    need(room >= 0, f"{what}'s gains and offsets need a shift of 0 or more", room, "use a coarser output scale")
    shift = min(room, WIDTH)
    gain, offset = (tuple(round(math.ldexp(v, shift)) for v in values.tolist()) for values in (gains, offsets))
    return gain, offset, shift


def epsilon_steps(epsilon: float, times: int, step: float, what: str) -> int:
    """`times` epsilon in units of step^2, to the nearest."""
    need(0 <= epsilon <= 1, f"{what} takes an epsilon of 0..1", epsilon, "check the layer")
    return round(times * epsilon / step**2)


def roots(squares: Array) -> Array:
    """Exact integer square roots of int64 (R,), at least 1: where a row is constant, what is divided is 0."""
    result = np.empty_like(squares)
    isqrt(squares, result)
    return np.maximum(result, 1)


def affine_codes(norm: Norm, y: Array, factor: Array, shift: Array, out: TensorSpec) -> Array:
    """Codes (R, C) of ((y * factor) >> shift) * gain + offset; factor and shift (R,)."""
    wide = np.empty_like(y)
    affine(y, factor, shift, np.array(norm.gain, dtype=np.int64), np.array(norm.offset, dtype=np.int64), wide)
    return rounded(wide, norm.shift, norm.rounding, out)


def affine_count(norm: Norm, elements: int) -> Counter[Action]:
    """Per element: the product with the gain, the offset, the rounding add and its shift."""
    gain_bits = max(map(abs, norm.gain)).bit_length() + 1
    wide = N_BITS + 1 + gain_bits
    counted = Counter({Action("mul", N_BITS + 1, gain_bits): elements, Action("add", wide, wide): elements})
    if norm.shift:
        counted[Action("add", wide, wide)] += elements
        counted[Action("shift", wide, wide)] += elements
    return counted


def float_norm(norm: Norm, x: Array, step: float, square: float) -> Array:
    """S5 in float64 with the weight, bias and epsilon that `norm` stands for; one step of its epsilon is `square`."""
    one = norm.spec.scale[0] * 2.0**-norm.shift
    weight, bias = np.array(norm.gain, np.float64) * one / step, np.array(norm.offset, np.float64) * one
    rows = np.ascontiguousarray(x, dtype=np.float64).reshape(-1, x.shape[-1])
    result = np.empty_like(rows)
    layernorm(rows[np.newaxis], weight, bias, max(norm.epsilon, NO_EPSILON) * square, result[np.newaxis])
    return result.reshape(x.shape)
