"""Where one power of two ends and the next begins (S14), by rounding rule: the boundary below 2**k.

log      the middle of the exponents, 2**(k - 1/2);
lis      that of FQ-ViT's log-int-softmax, which rounds the reciprocal at 1.5 * 2**j: 2**k / 1.5;
nearest  the middle of the values, 1.5 * 2**(k - 1): the leading one and the bit behind it decide.

Zero, where the grid has it, begins where the next power would; for `nearest` at 1/2, the middle again.
"""

FRACTIONS: dict[str, float] = {"log": 0.5**0.5, "lis": 2 / 3, "nearest": 0.75}


def boundaries(last: int, rounding: str, *, zero: bool) -> tuple[float, ...]:
    """Between the neighbours of (0, where `zero`,) 1, 2, 4, ... 2**last."""
    if rounding not in FRACTIONS:
        raise ValueError(f"rounding: it must be one of {', '.join(FRACTIONS)}, got {rounding!r}; choose one")
    fraction = FRACTIONS[rounding]
    lowest = 0.5 if rounding == "nearest" else fraction
    return (lowest,) * zero + tuple(fraction * (1 << shift) for shift in range(1, last + 1))
