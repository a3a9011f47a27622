"""The polynomial exponential of I-BERT (S12b), which I-BERT's and FQ-ViT's softmax share.

A = 0.35815147, B = 0.96963238, exp(r) is about A r^2 + B r + 1 over (-ln 2, 0]: I-BERT, Kim et al., ICML 2021.
Integer constants for scores of scale S, rounded as the released code does: ln2 = ceil(0.6931 / S),
b = floor(B / (A S)), c = floor(1 / (A S^2)).
"""

import math
from collections import Counter

import numpy as np

from hwsim.kernels.integer_softmax import polynomial_exp
from hwsim.op import Action, Array, need
from hwsim.ops._scores import SUM_BITS, differences, fitted_scale, most_fraction_bits, need_scores, need_sum
from hwsim.spec import TensorSpec

A, B, LN2 = 0.35815147, 0.96963238, 0.6931  # I-BERT, as in the released code

LARGEST_SCALE = 0.1
"""Coarser scores are refused: at 0.5, ln 2 / S rounded up makes weights of 0.001 wrong by 5.6 times (measured)."""

Constants = tuple[int, int, int]


def polynomial(scale: float) -> Constants:
    """ln2, b, c for scores of `scale`."""
    return math.ceil(LN2 / scale), math.floor(B / A / scale), math.floor(1 / A / scale / scale)


def fitted_polynomial_scale(scale: float) -> float:
    """The least scale from `scale` on whose ln2 is exact: rounding ln 2 / S up costs up to 0.14 of a probability."""
    fitted = fitted_scale(scale, LN2)
    steps = max(1, round(LN2 / fitted))
    while LN2 / fitted > steps:  # by a rounding, and `polynomial` would take the next whole number
        fitted = math.nextafter(fitted, math.inf)
    return fitted


def check_polynomial(name: str, ln2: int, b: int, c: int) -> None:
    """Raise ValueError unless a larger score never weighs less: the weight rises over (-ln2, 0], from c / 2 or more."""
    lowest = (1 - ln2) * (1 - ln2 + b) + c
    if not (ln2 >= 1 and b >= 2 * ln2 and 1 <= c <= 2 * lowest):
        raise ValueError(f"{name}: the polynomial must rise from c / 2 to c over ln2, got ln2={ln2}, b={b}, c={c}")


def lowered_polynomial(scores: TensorSpec) -> tuple[int, int, int, int]:
    """ln2, b, c and as many fraction bits as the row's sum leaves; IllegalModel where the scores do not fit."""
    ln2, b, c = polynomial(need_scores(scores, "i-exp", LARGEST_SCALE))
    need_sum(scores.shape[-1], c, SUM_BITS)
    return ln2, b, c, most_fraction_bits(scores.shape[-1], c)


def need_polynomial(scores: TensorSpec, constants: Constants) -> None:
    """Raise IllegalModel unless `scores` are fit for the polynomial, and the constants are those of their scale."""
    scale = need_scores(scores, "i-exp", LARGEST_SCALE)
    wanted = polynomial(scale)
    need(constants == wanted, f"a score scale of {scale} has ln2, b, c = {wanted}", constants, "lower again")


def polynomial_weights(scores: Array, constants: Constants, fraction_bits: int, halvings: int) -> Array:
    """The weights (R, N) of scores (..., N)."""
    return weights_of(differences(scores), constants, fraction_bits, halvings)


def weights_of(x: Array, constants: Constants, fraction_bits: int, halvings: int) -> Array:
    """The weights of differences x, int64, of any shape."""
    weights = np.empty(x.shape, dtype=np.int64)
    polynomial_exp(x.reshape(-1), *constants, fraction_bits, halvings, weights.reshape(-1))
    return weights


def polynomial_count(scores: TensorSpec, constants: Constants, largest: int) -> Counter[Action]:
    """Per element: division by ln2, its product and subtraction, the polynomial (product, two adds), a shift."""
    n, width = scores.elements, scores.bits + 1
    ln2, b, c = (value.bit_length() for value in constants)
    counted = Counter({Action("div", width, ln2): n})
    counted[Action("mul", width, ln2)] += n
    counted[Action("add", width, width)] += n
    counted[Action("add", ln2, b)] += n
    counted[Action("mul", ln2, b)] += n
    counted[Action("add", c, c)] += n
    counted[Action("shift", largest.bit_length(), largest.bit_length())] += n
    return counted
