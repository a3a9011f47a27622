"""Shift-uniform-log2 (S14): a uniform quantizer of -log2(x + eta), its exponent rounded to an integer, less eta again.

    code i = clamp(round(-log2(x + eta) / step) + zero_point, 0, 2**bits - 1)
    x      = 2**-e(i) - eta,   e(i) = round_half_even(step * (i - zero_point))

times `scale`. With F = e of the last code, code i stands for (1 << (F - e(i))) - eta in units of scale * 2**-F; `eta`
is an integer number of those units, so that a product is sum(v << (F - e)) - eta * sum(v): shifts, and one column sum.

Source: I&S-ViT (arXiv 2311.10126), SULQ. Departures: exactly 2**bits codes, where the released code clips to
0..2**bits, one more; eta on the grid of units. Codes whose exponents round to the same integer are one value: where step
is below 1 some of the codes are never made, as in the source.
"""

import itertools
import math

from hwsim.spec import ShiftSpec, check_bits


def sulq(bits: int, scale: float = 1.0, *, eta: int = 1, step: float = 1.0, zero_point: int = 0) -> ShiftSpec:
    """The grid of `bits` bits; step: exponents per code; zero_point: the code of exponent 0."""
    check_bits("sulq", bits, 8)
    if not (math.isfinite(step) and step > 0 and eta >= 0):
        raise ValueError(f"sulq: step must be positive and eta 0 or more, got {step} and {eta}")
    exponents = [round(step * (i - zero_point)) for i in range(1 << bits)]
    last = exponents[-1]
    if last - exponents[0] > 30:
        raise ValueError(f"sulq: exponents must span 30 or less, got {last - exponents[0]}; lower the bits or the step")
    boundaries = [
        2.0 ** (last - step * (i + 0.5 - zero_point)) - eta
        for i, (low, high) in enumerate(itertools.pairwise(exponents))
        if low < high
    ]
    return ShiftSpec(
        bits=bits,
        scale=(scale * 2.0**-last,),
        significand=(1,) * len(exponents),
        shift=tuple(last - exponent for exponent in exponents),
        boundaries=tuple(reversed(boundaries)),
        zero=eta,
    )
