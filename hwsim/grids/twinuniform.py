"""Twin uniform (S14): two uniform ranges with steps of ratio 2**m; the code's top bit, its flag, says which.

split="magnitude" (softmax outputs): code = (flag, u), u of bits-1 bits, value u << (m * flag): fine steps near 0, coarse
ones up to (2**(bits-1) - 1) << m. Coarse codes within the fine range are never made.
split="sign" (GELU outputs): the code is a two's complement number u whose sign is the flag: value u (fine) where it is
negative, u << m (coarse) where not.

The nearest value is taken, so x is off by at most half a step of its range. In both cases a product needs one
conditional shift before the MAC.

Source: PTQ4ViT (arXiv 2111.12293), twin uniform quantization. Departures: selection as in the paper, where the released
code adds both parts and gives -5 and +5 the same byte; the ratio is 2**m in both splits, free for GELU in the code.
"""

import itertools

from hwsim.spec import ShiftSpec, check_bits

SPLITS = ("magnitude", "sign")


def twinuniform(bits: int, scale: float = 1.0, *, m: int, split: str = "magnitude") -> ShiftSpec:
    """The grid of 2..8 bits whose fine step is `scale` and whose coarse step is scale * 2**m."""
    check_bits("twinuniform", bits, 8, 2)
    if split not in SPLITS or m < 0:
        raise ValueError(f"twinuniform: split is one of {', '.join(SPLITS)} and m 0 or more, got {split!r} and {m}")
    half = 1 << (bits - 1)
    if split == "magnitude":
        codes = [(u, m * flag) for flag in (0, 1) for u in range(half)]
    else:
        codes = [(u, m) for u in range(half)] + [(u, 0) for u in range(-half, 0)]
    values = sorted({u << shift for u, shift in codes})
    return ShiftSpec(
        bits=bits,
        scale=(scale,),
        significand=tuple(u for u, _ in codes),
        shift=tuple(shift for _, shift in codes),
        boundaries=tuple((low + high) / 2 for low, high in itertools.pairwise(values)),
    )
