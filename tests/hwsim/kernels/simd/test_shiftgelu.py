"""S13c in vectors against the kernel of 64 bits, which has an oracle in Python's integers (test_integer_gelu.py)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.kernels.integer_gelu import shift_gelu
from hwsim.kernels.round_shift import round_shift
from hwsim.kernels.simd.shiftgelu import shift_gelu_rows


def expected(x, zero, fraction, unit, halvings, power, mode, shift, qmin, qmax):
    q = x.astype(np.int64) - zero
    products, codes = np.empty_like(q), np.empty(x.size, np.int32)
    shift_gelu(q, fraction, unit, halvings, power + 1, products)
    round_shift(products.reshape(-1), shift, mode, 0, qmin, qmax, codes)
    return codes.reshape(x.shape)


def computed(x, zero, fraction, unit, halvings, power, mode, shift, qmin, qmax, dtype):
    odd = int(mode == 0 and shift > 0)
    half = 0 if mode == 3 else (1 << shift >> 1) - odd
    out = np.full(x.shape, 77, dtype)
    shift_gelu_rows(x, zero, fraction, unit, -halvings * unit, power, half, odd, shift, qmin, qmax, out)
    return out


@given(data=st.data(), columns=st.sampled_from((1, 5, 15, 16, 17, 49, 197, 384)), zero=st.sampled_from((0, -2048, 9)))
def test_rows_of_any_length(data, columns, zero):
    power = data.draw(st.integers(1, 16), label="power")
    widest = min(2**24 - 1 >> power, 2**21 - 1)
    unit = min(data.draw(st.integers(1, widest) | st.integers(1, 300), label="unit"), widest)
    most = min(62 - unit.bit_length() - power, (2**21 - 1) // unit)
    halvings = data.draw(st.integers(1, most) | st.just(most), label="halvings")
    fraction, mode = data.draw(st.integers(0, 16), label="fraction"), data.draw(st.integers(0, 3), label="mode")
    shift = data.draw(st.integers(0, 30), label="shift")
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    spread = data.draw(st.sampled_from((3, 100, 4095)), label="spread")
    x = np.clip(generator.integers(-spread, spread + 1, (3, columns)) + zero, -2048, 2047).astype(np.int16)
    numbers = zero, fraction, unit, halvings, power, mode, shift, -32768, 32767
    np.testing.assert_array_equal(computed(x, *numbers, np.int16), expected(x, *numbers))


@pytest.mark.parametrize(
    ("fraction", "unit", "halvings", "power"),
    [
        (0, 150, 40, 7),
        (0, 150, 23, 7),
        (3, 149, 46, 7),
        (0, 1, 55, 7),
        (0, 41, 46, 7),
        (4, 131071, 15, 7),
        (0, 255, 38, 16),
    ],
)
def test_every_code_beside_every_maximum(fraction, unit, halvings, power):
    """Of 12 bits, and all quotients that are whole, or nearly, among them."""
    codes = np.arange(-2048, 2048, dtype=np.int16)
    numbers = 0, fraction, unit, halvings, power, 3, 0, -(2**31), 2**31 - 1
    for tops in np.split(np.arange(2048, dtype=np.int16), 16):
        x = np.minimum(codes, tops[:, np.newaxis])
        np.testing.assert_array_equal(computed(x, *numbers, np.int32), expected(x, *numbers))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.uint16, np.int32])
def test_containers(dtype):
    """At the ends of 8, 16 and 20 bits, with zero points there."""
    ends = {np.int8: (-128, 127), np.uint8: (0, 255), np.uint16: (0, 65535), np.int32: (-(2**19), 2**19 - 1)}[dtype]
    x = np.random.default_rng(1).choice([*ends, sum(ends) // 2], (9, 33)).astype(dtype)
    for zero in ends:
        numbers = zero, 0, 700, 45, 7, 0, 8, -99, 99
        np.testing.assert_array_equal(computed(x, *numbers, np.int8), expected(x, *numbers))
