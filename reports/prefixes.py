"""Numbers for people: four digits and a prefix. Nothing here needs matplotlib."""

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def engineering(value: float, unit: str = "") -> str:
    """`value` with four digits and a prefix k, M, G or T: `engineering(4.60077e9, "FLOP")` is `4.601 GFLOP`."""
    for scale, prefix in _PREFIXES:
        if abs(value) >= scale * 0.99995:
            return f"{_four_digits(value / scale)} {prefix}{unit}"
    return f"{_four_digits(value)} {unit}".rstrip()


def _four_digits(value: float) -> str:
    if value == int(value) and abs(value) < 1000:
        return str(int(value))
    whole = len(str(int(abs(value)))) if abs(value) >= 1 else 1
    return f"{value:.{max(0, 4 - whole)}f}" if abs(value) >= 0.001 else f"{value:.3g}"
