"""Which grids the integer GELUs and LayerNorms take and give: affine ones, of one scale unless said otherwise."""

import numpy as np

from hwsim.kernels import choose
from hwsim.kernels.memory import empty, inverse, memory_order
from hwsim.kernels.requantize import ROUNDINGS
from hwsim.kernels.round_shift import round_shift
from hwsim.kernels.simd.lookup import PERMUTED, lookup, lookup_permuted
from hwsim.op import Array, need
from hwsim.spec import IntegerSpec, QuantSpec, TensorSpec, along, describe

WIDTH = 62
"""Most magnitude bits that a product or sum may need: int64 with a bit to spare."""

SCALE_EXPONENT = 100
"""Scales are 2^-100..2^100, so that no float overflows where attributes are made of them."""


def need_codes(x: TensorSpec, what: str, axis: int | None = None) -> QuantSpec:
    """The grid of `x`; IllegalModel where it is not affine, or has channels along another axis than `axis`."""
    quant = x.quant
    need(isinstance(quant, QuantSpec), f"{what} takes codes of an affine grid", x, "quantize its input")
    assert isinstance(quant, QuantSpec)
    legal, wanted = quant.axis in (None, axis), "of one scale" if axis is None else f"with channels along axis {axis}"
    need(legal, f"{what} takes codes {wanted}", x, "requantize its input to one scale")
    _need_scale(quant, what)
    return quant


def need_one_scale(out: IntegerSpec, what: str) -> None:
    """Raise IllegalModel unless `out` is an affine grid of one scale."""
    legal = isinstance(out, QuantSpec) and out.axis is None
    need(legal, f"{what} gives codes of an affine grid of one scale", describe(out), "requantize behind it")
    assert isinstance(out, QuantSpec)
    _need_scale(out, what)


def _need_scale(quant: QuantSpec, what: str) -> None:
    for scale in (min(quant.scale), max(quant.scale)):
        usual = 2.0**-SCALE_EXPONENT <= scale <= 2.0**SCALE_EXPONENT
        need(usual, f"{what} needs scales of 2**-{SCALE_EXPONENT}..2**{SCALE_EXPONENT}", scale, "calibrate it again")


def need_width(largest: int, what: str, most: int = WIDTH) -> None:
    """Raise IllegalModel unless the magnitude `largest` has at most `most` bits."""
    bits = largest.bit_length()
    need(bits <= most, f"{what} needs {bits} bits", most, "lower the bits of its input")


def check_rounding(name: str, rounding: str, shift: int) -> None:
    """Raise ValueError unless `rounding` is a mode of S4 and `shift` is 0..62."""
    if rounding not in ROUNDINGS:
        raise ValueError(f"{name}: rounding must be one of {', '.join(ROUNDINGS)}, got {rounding!r}")
    if not 0 <= shift <= WIDTH:
        raise ValueError(f"{name}: shift must be 0..{WIDTH}, got {shift}")


def centred_wide(codes: Array, spec: TensorSpec) -> Array:
    """Codes less their zero points, as contiguous int64."""
    assert spec.quant is not None
    zero = along(spec.quant.zero_point, spec.quant.axis, codes.ndim, np.int64)
    return np.ascontiguousarray(codes.astype(np.int64) - zero)


def rounded(values: Array, shift: int, rounding: str, out: TensorSpec) -> Array:
    """Codes of `out` from int64 `values` of any shape: clamp(round_shift(v, shift) + zero_point)."""
    assert out.quant is not None
    codes = np.empty(values.size, dtype=out.quant.container)
    mode, zero = ROUNDINGS.index(rounding), out.quant.zero_point[0]
    round_shift(values.reshape(-1), shift, mode, zero, out.quant.qmin, out.quant.qmax, codes)
    return codes.reshape(values.shape)


def from_table(codes: Array, least: int, table: Array) -> Array:
    """The entry for every code, the first of them for the code `least`; axes in the order that codes have in memory."""
    order = memory_order(codes)
    inner = np.ascontiguousarray(codes.transpose(order))
    result = empty(inner.shape, table.dtype)
    look_up(inner, least, table, result)
    return result.transpose(inverse(order)) if order else result


def look_up(codes: Array, least: int, table: Array, out: Array) -> None:
    """The same into `out`, both of them contiguous."""
    flat, found, entries = codes.reshape(-1), out.reshape(-1), PERMUTED.get(codes.itemsize, 0)
    if table.itemsize == 1 and len(table) <= entries and choose.tier().permutes:
        lookup_permuted(flat.view(f"u{codes.itemsize}"), least, entries, table.view(np.uint8), found.view(np.uint8))
    else:
        lookup(flat, least, table, found)
