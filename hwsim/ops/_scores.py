"""What the integer softmaxes share (S12): which scores they take, how wide a row's sum is, what a row costs.

Only the difference of a score to its row's maximum matters, so a zero point does not: x = q - max q, which is never
positive and needs one bit more than the scores.
"""

import math
from collections import Counter

import numpy as np

from hwsim.kernels.integer_softmax import normalise
from hwsim.op import Action, Array, need
from hwsim.spec import QuantSpec, TensorSpec, signed_bits

SUM_BITS = 32
"""Width of a row's sum, a signed integer, unless said otherwise."""

HALVINGS = 31
"""Where shifts to the right end unless said otherwise: what fits 31 bits is then 0."""

SMALLEST_SCALE = 2.0**-30


def fitted_scale(scale: float, whole: float) -> float:
    """The least scale from `scale` on that divides `whole`, but for a rounding; one above `whole` is left as it is."""
    if scale >= whole:
        return scale
    steps = math.floor(whole / scale)
    finer = whole / (steps + 1)  # the quotient may have been rounded below a whole number
    return finer if finer >= scale else whole / steps


def need_scores(scores: TensorSpec, what: str, largest_scale: float) -> float:
    """The one scale of integer `scores`; IllegalModel where they have none, or one above `largest_scale`."""
    quant = scores.quant
    need(isinstance(quant, QuantSpec), f"{what} takes integer scores", scores, "quantize them first")
    assert quant is not None
    need(quant.axis is None, f"{what} takes scores of one scale", scores, "requantize the scores to one scale")
    scale = quant.scale[0]
    need(
        scale <= largest_scale,
        f"{what} needs a score scale of {largest_scale} or less",
        scale,
        "give the scores more bits (score_bits)",
    )
    need(scale >= SMALLEST_SCALE, f"{what} needs a score scale of 2**-30 or more", scale, "calibrate the scores")
    return scale


def need_sum(length: int, largest: int, sum_bits: int) -> None:
    """Raise IllegalModel unless `length` weights of up to `largest` add up within a signed integer of `sum_bits`."""
    bits = row_bits(length, largest)
    rule = f"a row of {length} scores needs a sum of {bits} bits"
    need(bits <= sum_bits, rule, sum_bits, "make the scores coarser (least_score_step)")


def row_bits(length: int, largest: int) -> int:
    """Bits of the signed integer that holds the sum of `length` weights of `largest`: the worst case, equal scores."""
    return signed_bits(0, length * largest)


def most_fraction_bits(length: int, largest: int, sum_bits: int = SUM_BITS) -> int:
    """The largest n for which `length` weights of `largest` * 2^n fit a signed sum of `sum_bits`; -1 if none does."""
    return (((1 << (sum_bits - 1)) - 1) // (length * largest)).bit_length() - 1


def check_widths(name: str, bits: int, reciprocal_bits: int, sum_bits: int) -> None:
    """Raise ValueError unless the widths of the output, of the reciprocal and of the sum suit 64-bit arithmetic."""
    if not (1 <= bits < reciprocal_bits <= 62 and 2 <= sum_bits <= 62):
        raise ValueError(
            f"{name}: it needs 1 <= bits < reciprocal_bits <= 62 and 2 <= sum_bits <= 62, "
            f"got {bits}, {reciprocal_bits} and {sum_bits}"
        )


def check_shifts(name: str, fraction_bits: int, halvings: int) -> None:
    """Raise ValueError unless 64-bit arithmetic has both shifts."""
    if not (0 <= fraction_bits <= 62 and 1 <= halvings <= 62):
        raise ValueError(f"{name}: fraction_bits must be 0..62 and halvings 1..62, got {fraction_bits} and {halvings}")


def differences(scores: Array) -> Array:
    """Scores (..., N) less their row's maximum, int64 (R, N): at most 33 bits of it."""
    top = scores.max(axis=-1, keepdims=True).astype(np.int64)
    return np.ascontiguousarray(scores - top).reshape(-1, scores.shape[-1])


def probabilities(weights: Array, numerator: int, shift: int, half: int, out: TensorSpec) -> Array:
    """Rows of `weights` (R, N) divided by their sums, as codes of `out` (R, N)."""
    assert out.quant is not None
    codes = np.empty(weights.shape, dtype=out.quant.container)
    normalise(weights, numerator, shift, half, out.quant.qmax, codes)
    return codes


def float_softmax(x: Array) -> Array:
    """S6 in float64 over the last axis: what the integer forms stand for."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    result: Array = e / e.sum(axis=-1, keepdims=True)
    return result


def row_count(scores: TensorSpec, largest: int) -> Counter[Action]:
    """Per element: running maximum, its subtraction, the sum of weights of up to `largest`."""
    n, bits, total = scores.elements, scores.bits, row_bits(scores.shape[-1], largest)
    weight = largest.bit_length()
    return (
        Counter({Action("max", bits, bits): n})
        + Counter({Action("add", bits, bits): n})
        + Counter({Action("add", weight, total): n})
    )


def normalise_count(scores: TensorSpec, largest: int, reciprocal_bits: int) -> Counter[Action]:
    """Per row one division, the reciprocal; per element a product with it, and a shift."""
    total, weight = row_bits(scores.shape[-1], largest), largest.bit_length()
    factor = reciprocal_bits - weight + 1  # the sum is not below its largest weight
    return Counter(
        {
            Action("div", reciprocal_bits, total): scores.elements // scores.shape[-1],
            Action("mul", weight, factor): scores.elements,
            Action("shift", reciprocal_bits, reciprocal_bits): scores.elements,
        }
    )
