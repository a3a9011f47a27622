"""Contract of the kernels: compiled and plain functions agree, and each is covered here."""

import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hwsim.kernels
from hwsim.kernels.kernel import kernel


def _kernels():
    for module in pkgutil.iter_modules(hwsim.kernels.__path__):
        members = vars(importlib.import_module(f"hwsim.kernels.{module.name}"))
        for name, plain in members.items():
            if name.startswith("_") and not name.startswith("__") and callable(plain) and name[1:] in members:
                yield f"{module.name}.{name[1:]}", members[name[1:]], plain


KERNELS = {name: (compiled, plain) for name, compiled, plain in _kernels()}


def _floats(*shape):
    return np.random.default_rng(sum(shape)).normal(0, 3, shape)


def _integers(low, high, shape, dtype):
    return np.random.default_rng(5).integers(low, high, shape).astype(dtype)


def _requantize(rounding):
    acc = _integers(-(2**31), 2**31, (2, 3, 5), np.int32)
    zeros, shift = np.array([0, -(2**31), 7], np.int64), np.array([1, 31, 62], np.int64)
    multiplier, offset = np.array([1, 2**30, 2**31 - 1], np.int64), np.array([0, -5, 2**61], np.int64)
    return (acc, zeros, multiplier, shift, offset, -zeros >> 24, -128, 127, rounding), ((2, 3, 5), np.int8)


CALLS = {
    "gemm.gemm": [
        ((_integers(-255, 256, (g, m, k), np.int32), _integers(-128, 128, (1, k, 3), np.int16)), ((g, m, 3), np.int32))
        for g, m, k in ((1, 1, 1), (2, 4, 5), (3, 7, 2), (0, 2, 2), (1, 5, 0))
    ],
    "narrow_gemm.narrow_gemm": [
        (
            (
                _integers(-9, 10, (2, 3, 5), np.int32),
                _integers(-9, 10, (groups, 5, 4), np.int16),
                bits,
                saturate,
                tile,
            ),
            ((2, 3, 4), np.int32),
        )
        for groups, bits, saturate, tile in ((1, 6, False, 1), (2, 7, True, 2), (2, 5, True, 9))
    ],
    "shift_gemm.shift_gemm": [
        (
            (
                _integers(0, 4, (2, 3, 5), np.uint8),
                np.array([1, 3, 0, -1], np.int32),
                np.array([4, 0, 0, 2], np.int32),
                zero,
                _integers(-128, 128, (groups, 5, 4), dtype),
            ),
            ((2, 3, 4), np.int32),
        )
        for zero, groups, dtype in ((0, 1, np.int16), (5, 2, np.int16), (-1, 2, np.int32))
    ],
    "integer_softmax.shift_exp": [((_integers(-900, 1, (9,), np.int64), 50, 15, 31), ((9,), np.int64))],
    "integer_softmax.polynomial_exp": [((_integers(-900, 1, (9,), np.int64), 35, 135, 6980, 8, 31), ((9,), np.int64))],
    "integer_softmax.normalise": [
        ((_integers(1, 2**20, (3, 7), np.int64), 1 << 47, 31, half, 65535), ((3, 7), np.uint16))
        for half in (0, 1 << 30)
    ],
    "integer_softmax.log_codes": [((_integers(0, 2**20, (3, 7), np.int64), 15), ((3, 7), np.uint8))],
    "isqrt.isqrt": [((np.array([0, 1, 99, 100, 2**40 + 1, 2**63 - 1], np.int64),), ((6,), np.int64))],
    "round_shift.round_shift": [
        ((_integers(-(2**62), 2**62, (9,), np.int64), shift, mode, 3, -128, 127), ((9,), np.int8))
        for mode in range(4)
        for shift in (0, 1, 56, 62)
    ],
    "integer_norm.centre": [((_integers(-99, 99, (3, 7), np.int64), 2, np.zeros((3, 7), np.int64)), ((3,), np.int64))],
    "integer_norm.spread": [
        ((_integers(-99, 99, (3, 2), np.int64), np.array([3, -1]), np.zeros((3, 2), np.int64)), ((3,), np.int64))
    ],
    "integer_norm.mantissa": [((np.array([1, 7, 64, 2**29], np.int64), 8, np.zeros(4, np.int64)), ((4,), np.int64))],
    "integer_norm.affine": [
        (
            (
                _integers(-99, 99, (2, 3), np.int64),
                np.array([5, 9]),
                np.array([2, -3]),
                np.array([1, -4, 0]),
                np.array([7, -7, 2**40]),
            ),
            ((2, 3), np.int64),
        )
    ],
    "integer_gelu.polynomial_gelu": [((_integers(-99, 99, (9,), np.int64), 3, 50, 2768, 4), ((9,), np.int64))],
    "integer_gelu.shift_gelu": [((_integers(-99, 99, (3, 7), np.int64), 2, 38, 23, 8), ((3, 7), np.int64))],
    "requantize.quantize": [
        (
            (_floats(2, 3, 4), np.array([0.1, 0.5, 2.0]), np.array([0, 7, 15], np.int64), 0, 15),
            ((2, 3, 4), np.uint8),
        )
    ],
    "requantize.requantize": [_requantize(mode) for mode in range(4)],
    "elementwise.layernorm": [((_floats(3, 7), _floats(7), _floats(7), 1e-5), ((3, 7), np.float64))],
    "elementwise.softmax": [((_floats(3, 7),), ((3, 7), np.float64))],
    "elementwise.gelu": [((_floats(9),), ((9,), np.float64))],
}


def test_every_kernel_is_called_here():
    assert set(KERNELS) == set(CALLS)


@pytest.mark.parametrize("name", KERNELS)
def test_compiled_equals_plain(name):
    compiled, plain = KERNELS[name]
    assert getattr(compiled, "py_func", plain) is plain
    for arguments, (shape, dtype) in CALLS[name]:
        outs = [np.zeros(shape, dtype) for _ in range(2)]
        results = [call(*arguments, out) for call, out in zip((compiled, plain), outs, strict=True)]
        assert results[0] == results[1]
        if dtype is np.float64:  # exp and erf may differ in the last place from one library to the next
            np.testing.assert_allclose(*outs, rtol=1e-15, atol=1e-16)
        else:
            np.testing.assert_array_equal(*outs)


@pytest.mark.parametrize("mode", ["NUMBA_DISABLE_JIT", "NUMBA_BOUNDSCHECK"])
def test_oracles_hold_without_the_compiler_and_with_bounds_checked(mode, tmp_path):
    """The oracle tests of the kernels again, as plain Python, and compiled with every index checked."""
    if any(os.environ.get(name) for name in ("NUMBA_DISABLE_JIT", "NUMBA_BOUNDSCHECK")):
        pytest.skip("already in one of these modes")
    names = ("gemm", "narrow_gemm", "shift_gemm", "requantize", "elementwise", "isqrt", "round_shift")
    names += ("integer_norm", "integer_gelu", "integer_softmax")
    files = [Path(__file__).with_name(f"test_{name}.py") for name in names]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *files],
        env={**os.environ, mode: "1", "NUMBA_CACHE_DIR": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_compile_options():
    options = getattr(kernel(_floats), "targetoptions", {"nogil": True, "error_model": "numpy"})
    assert options["nogil"]
    assert options["error_model"] == "numpy"
    assert not options.get("fastmath")
