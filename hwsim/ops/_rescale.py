"""The constants of a requantize (S4), prepared once: rounding, ties and zero points folded into its offsets.

With them a code is three operations on int64, per channel c, whatever the mode of rounding:

    y = acc * multiplier[c] + offset[c]
    code = clamp((y >> shift[c]) + zero_point[c], qmin, qmax)                                    form "plain"
    code = clamp((y >> shift[c]) - t + zero_point[c], qmin, qmax)                                form "half_even"

where t = (y >> shift[c]) & 1 if the low shift[c] bits of y are all 0, else 0. Nothing leaves 63 bits in either form, for
any acc of the spec; where it would, or where rounding is `double_round` with a shift above 31, the form is "generic".

Half to even is "plain" nearly always. y is a multiple of 2^shift exactly where the product is a tie, which half up would
round up. With multiplier = m * 2^v, m odd, this happens for at most one residue of acc modulo 2^(shift - v):
  - no acc of the spec has it: half up and half to even agree;
  - one acc has it: the tie rounds up where that makes an even code, else the offset loses 1, which moves no other acc;
  - more have it: neighbours differ by the odd m in their codes, so that both directions occur, and t is needed.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hwsim.kernels.simd.vectors import LANES, ORDER
from hwsim.ops._once import once
from hwsim.spec import TensorSpec, signed_bits

if TYPE_CHECKING:
    from hwsim.ops.requantize import Requantize

Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]
LIMIT = 2.0**63 * (1 - 2.0**-40)
"""What a float64 bound of an int64 must stay below: its own rounding errors are far less."""


@dataclass(frozen=True, slots=True, eq=False)
class Rescale:
    """See the module: int64 arrays (channels,) each, one channel where the requantize is per tensor."""

    multiplier: Int64
    offset: Int64
    shift: Int64
    zero_point: Int64
    qmin: int
    qmax: int
    form: str


@once
def prepared(op: "Requantize", x: TensorSpec) -> Rescale:
    """The constants of `op` on accumulators or codes of `x`, for any of them from qmin to qmax."""
    quant = x.quant
    assert quant is not None
    channels = len(op.multiplier)
    multiplier, shift = np.array(op.multiplier, np.int64), np.array(op.shift, np.int64)
    zero_in, given, zero_point = (
        np.array(np.broadcast_to(np.array(values, np.int64), channels))
        for values in (quant.zero_point, op.offset or (0,), op.spec.zero_point)
    )
    most = np.maximum(np.abs(quant.qmin - zero_in), np.abs(quant.qmax - zero_in)).astype(np.float64)
    with np.errstate(over="ignore"):  # modulo 2^64; what matters is proven by `most`
        offset = given - zero_in * multiplier
    most = most * multiplier + np.abs(given.astype(np.float64))
    offset, form = folded(multiplier, offset, shift, (quant.qmin, quant.qmax), op.rounding, most)
    return Rescale(multiplier, offset, shift, zero_point, op.spec.qmin, op.spec.qmax, form)


def folded(
    multiplier: Int64, offset: Int64, shift: Int64, ends: tuple[int, int], rounding: str, most: npt.NDArray[np.float64]
) -> tuple[Int64, str]:
    """Offsets with the rounding in them, and the form: of acc * multiplier + offset, below `most` in magnitude, for all
    acc between the `ends`."""
    half = np.left_shift(np.int64(1), shift - 1)
    if not bool((most + half < LIMIT).all()) or (rounding == "double_round" and int(shift.max()) > 31):
        return offset, "generic"
    if rounding == "floor":
        return offset, "plain"
    with np.errstate(over="ignore"):
        offset = offset + half
    if rounding != "half_even":
        return offset, "plain"
    several, down = _ties(multiplier, offset, shift, *ends)
    return (offset, "half_even") if several else (offset - down, "plain")


def _ties(multiplier: Int64, offset: Int64, shift: Int64, low: int, high: int) -> tuple[bool, npt.NDArray[np.bool_]]:
    """Whether any channel has two accumulators in low..high with 2^shift | acc * multiplier + offset, and which channels
    have one, with an odd quotient: residues modulo powers of two, which uint64 keeps."""
    one = np.uint64(1)
    m, s, rest = multiplier.view(np.uint64), shift.view(np.uint64), (-offset).view(np.uint64)
    with np.errstate(over="ignore"):
        power = np.where(m == 0, one << s, np.minimum(m & (~m + one), one << s))  # 2^min(v, shift)
        v: npt.NDArray[np.uint64] = np.log2(power.astype(np.float64)).astype(np.uint64)
        odd = np.where(m == 0, one, m >> v) | one
        inverse = odd  # right modulo 2^3; each step of Newton's doubles the bits
        for _ in range(5):
            inverse = inverse * (np.full_like(odd, 2) - odd * inverse)
        period = one << (s - v)
        first = np.uint64(low % (1 << 64))
        steps = (inverse * (rest >> v) - first) & (period - one)  # from low to the first tie
        count = np.uint64(high - low)
        tied = ((rest & (power - one)) == 0) & (steps <= count)
        several = bool((tied & (count - np.minimum(steps, count) >= period)).any())
        quotient = ((first + steps) * m + offset.view(np.uint64)).view(np.int64) >> shift
    return several, tied & ((quotient & 1) == 1)


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """Constants of `hwsim/kernels/simd/rescale.py`, per channel; `offset` in order, `lanes` in that of its rows."""

    left: Int32
    multiplier: Int32
    offset: Int64
    lanes: Int64
    right: Int32
    zero_point: Int32
    even: bool


@once
def words(op: "Requantize", x: TensorSpec, repeat: int) -> Words | None:
    """The constants of `op` on codes of `x`, each channel's `repeat` times; None where 32-bit lanes do not hold all.

    y is needed shifted to the left by what its shift lacks to 32; x takes as much of that as 32 bits leave it, the
    multiplier the rest.
    """
    found, quant = prepared(op, x), x.quant
    assert quant is not None
    up = np.maximum(32 - found.shift, 0)
    left = np.minimum(up, max(0, 32 - signed_bits(quant.qmin, quant.qmax)))
    with np.errstate(over="ignore"):  # modulo 2^64, as in `prepared`; y itself is proven below
        multiplier, offset = found.multiplier << (up - left), found.offset << up
    ends = np.array([[quant.qmin], [quant.qmax]], np.float64) * found.multiplier + found.offset
    most = np.abs(ends).max(axis=0) + 2.0**20
    fits = found.form != "generic" and signed_bits(quant.qmin, quant.qmax) <= 32 and found.qmax < 1 << 31
    fits &= bool((np.ldexp(found.multiplier.astype(np.float64), up - left) < 2.0**31).all())
    fits &= bool((np.ldexp(most, up) < LIMIT).all())
    fits &= bool((np.ldexp(most, -found.shift) + np.abs(found.zero_point) < 2.0**31 - 2).all())
    if not fits:
        return None
    narrow = (left, multiplier, found.shift - 32 + up, found.zero_point)
    spread, scales, right, zero = (np.repeat(values, repeat).astype(np.int32) for values in narrow)
    offset = np.repeat(offset, repeat)
    return Words(spread, scales, offset, in_lanes(offset), right, zero, found.form == "half_even")


def in_lanes(offset: Int64) -> Int64:
    """Each whole sixteen of `offset` in `ORDER`."""
    lanes, whole = offset.copy(), len(offset) // LANES * LANES
    lanes[:whole] = offset[:whole].reshape(-1, LANES)[:, ORDER].reshape(-1)
    return lanes
