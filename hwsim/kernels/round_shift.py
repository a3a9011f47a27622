"""The last step of S4 for wide integers: q = clamp(round_shift(v, shift) + zero_point, qmin, qmax)."""

import numpy as np
import numpy.typing as npt

from hwsim.kernels.kernel import kernel


def _round_shift(
    values: npt.NDArray[np.int64],
    shift: int,
    rounding: int,
    zero_point: int,
    qmin: int,
    qmax: int,
    out: npt.NDArray[np.integer],
) -> None:
    """Every element of the flat `values`, any int64; shift is 0..62 and 0 rounds nothing; `rounding` as in ROUNDINGS.

    What rounding adds goes on top of the remainder alone, as in requantize, so that nothing overflows.
    """
    one = np.int64(1)
    half = one << np.int64(max(shift, 1) - 1)
    nudge = (one << np.int64(30)) if shift > 31 else np.int64(0)
    for i in range(values.shape[0]):
        code = values[i] >> shift
        if shift > 0:
            rest = values[i] - (code << shift)
            if rounding == 0:
                code += (rest + half - one + (code & one)) >> shift
            elif rounding == 1:
                code += (rest + half) >> shift
            elif rounding == 2:
                code += (rest + half + (nudge if values[i] >= 0 else -nudge)) >> shift
        out[i] = min(max(code + zero_point, np.int64(qmin)), np.int64(qmax))


round_shift = kernel(_round_shift)
