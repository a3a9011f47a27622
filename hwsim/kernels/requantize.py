"""Requantize (S4) over (outer, channels, inner) arrays."""

import numpy as np
import numpy.typing as npt

from hwsim.kernels.kernel import kernel

ROUNDINGS = ("half_even", "half_up", "double_round", "floor")


def _requantize(
    q: npt.NDArray[np.integer],
    zero_in: npt.NDArray[np.int64],
    multiplier: npt.NDArray[np.int64],
    shift: npt.NDArray[np.int64],
    offset: npt.NDArray[np.int64],
    zero_out: npt.NDArray[np.int64],
    qmin: int,
    qmax: int,
    rounding: int,
    out: npt.NDArray[np.integer],
) -> None:
    """S4 into `out`, per channel.

    |q - zero_in| < 2**32 and multiplier < 2**31, so the product fits int64, with its offset as the caller proved; what
    rounding adds does not go on top of it but on top of its remainder, which is below 2**shift.
    """
    one = np.int64(1)
    for i in range(q.shape[0]):
        for c in range(q.shape[1]):
            s = shift[c]
            half = one << (s - one)
            nudge = (one << np.int64(30)) if s > 31 else np.int64(0)
            for j in range(q.shape[2]):
                value = np.int64(q[i, c, j]) - zero_in[c]
                product = value * multiplier[c] + offset[c]
                code = product >> s
                rest = product - (code << s)
                if rounding == 0:
                    code += (rest + half - one + (code & one)) >> s
                elif rounding == 1:
                    code += (rest + half) >> s
                elif rounding == 2:
                    code += (rest + half + (nudge if product >= 0 else -nudge)) >> s
                out[i, c, j] = min(max(code + zero_out[c], np.int64(qmin)), np.int64(qmax))


requantize = kernel(_requantize)
