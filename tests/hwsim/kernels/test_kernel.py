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


def _shorts(*shape):
    return _floats(*shape).astype(np.float32)


def _integers(low, high, shape, dtype):
    return np.random.default_rng(5).integers(low, high, shape).astype(dtype)


def _requantize(rounding):
    acc = _integers(-(2**31), 2**31, (2, 3, 5), np.int32)
    zeros, shift = np.array([0, -(2**31), 7], np.int64), np.array([1, 31, 62], np.int64)
    multiplier, offset = np.array([1, 2**30, 2**31 - 1], np.int64), np.array([0, -5, 2**61], np.int64)
    return (acc, zeros, multiplier, shift, offset, -zeros >> 24, -128, 127, rounding), ((2, 3, 5), np.int8)


ROWS = (1, 7, 8, 27)
SCALARS = np.append(_floats(12), (0.0, -0.0, 0.3, -9.0, np.inf))
GRIDS = np.array([0.1, 0.5, 2.0]), np.array([0, 7, 15], np.int64)
SUMS = _integers(-99, 99, (4, 27), np.int32)
NONE = np.empty((0, 0))
GROUPS, NO_GROUPS = _integers(-99, 100, (4, 5, 9), np.int32), np.zeros((1, 0, 0))
ZEROS = np.array([0, 3], np.int64)
WORDS = _integers(0, 1 << 32, (2, 19), np.uint32)

CALLS = {
    "packing.pack_left": [
        ((_integers(0, 99, (2, 1, 3, k), np.uint8), 7), ((2, 4, k + 3), np.uint8)) for k in (5, 64, 150)
    ],
    "packing.pack_words": [
        ((_integers(-99, 9999, (2, 1, 3, 5), dtype), np.array([[7], [-3]])), ((2, 4, 8), np.int16))
        for dtype in (np.int16, np.int32)
    ],
    "packing.pack_word_rows": [
        ((_integers(-99, 9999, (2, 1, k, 19), np.int16), zero, 19, 8, 2), ((2, 24 * 4), np.uint32))
        for k, zero in ((7, np.array([[7]])), (5, np.arange(-19, 19).reshape(2, 19)))
    ],
    "packing.pack_floats": [
        ((_integers(0, 99, (2, 3, 5), dtype), np.full((1, 1, columns), 7)), ((2, 3, 5), np.float32))
        for dtype in (np.uint8, np.int32)
        for columns in (1, 5)
    ],
    "packing.add_bytes": [((np.uint32(0xFF017F80), np.uint32(0x01FF0190)), None)],
    "packing.pack_columns": [
        (
            (
                _integers(0, 1 << 32, (2, 1, 19, k), np.uint32),
                WORDS[:, :many],
                np.uint32(0x07070707),
                19,
                lanes,
                vectors,
            ),
            ((2, 24 * (k + 1) if lanes == 8 else 32 * (k + 1)), np.uint32),
        )
        for k, many, lanes, vectors in ((3, 1, 8, 1), (9, 1, 16, 2), (3, 19, 8, 2))
    ],
    "packing.pack_rows": [
        (
            (_integers(0, 256, (2, 1, k, 19), np.uint8), WORDS[:, :many], np.uint32(0x07070707), 19, 8, vectors),
            ((2, 24 * 3), np.uint32),
        )
        for k, many, vectors in ((12, 1, 1), (7, 19, 2))
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
    "requantize.requantize": [_requantize(mode) for mode in range(4)],
    "elementwise.layernorm_row": [((_floats(c), _floats(c), _floats(c), 1e-5), ((c,), np.float64)) for c in ROWS],
    "elementwise.softmax_row": [((_floats(c),), ((c,), np.float64)) for c in ROWS],
    "elementwise.gelu_of": [((value,), None) for value in SCALARS],
    "elementwise.layernorm": [((_floats(2, 3, 27), _floats(27), _floats(27), 1e-5), ((2, 3, 27), np.float64))],
    "elementwise.softmax": [((_floats(2, 3, 27),), ((2, 3, 27), np.float64))],
    "elementwise.gelu": [((_floats(2, 3, 9),), ((2, 3, 9), np.float64))],
    "float_exp.reduced": [((value,), None) for value in -abs(SCALARS[:-1])],
    "float_exp.power_of_two": [((np.int64(n),), None) for n in (-1022, 0, 1023)],
    "float_exp.exp": [((value,), None) for value in -abs(SCALARS) * 40],
    "float_erf.numerator": [((value,), None) for value in SCALARS],
    "float_erf.denominator": [((value,), None) for value in SCALARS],
    "float_erf.erf": [((value,), None) for value in SCALARS],
    "float_codes.steps": [((value, 0.25, -8.0, 7.0), None) for value in SCALARS],
    "float_codes.quantize_row": [
        ((np.append(_floats(20), worst), 0.5, 7, 0, 15), ((21,), np.uint8)) for worst in (0.25, 1e308)
    ],
    "float_codes.quantize": [((_floats(2, 3, 9), *GRIDS, 0, 15), ((2, 3, 9), dtype)) for dtype in (np.uint8, np.int64)],
    "float_codes.quantize_columns": [((_floats(2, 9, 3), *GRIDS, 0, 15), ((2, 9, 3), np.uint8))],
    "float_codes.dequantize": [((_integers(-99, 99, (2, 6, 9), np.int16), *GRIDS), ((2, 6, 9), np.float64))],
    "float_codes.dequantize_columns": [((_integers(-99, 99, (2, 9, 3), np.int32), *GRIDS), ((2, 9, 3), np.float64))],
    "float_guess.guess_exp": [((np.float32(value),), None) for value in -abs(SCALARS) * 40],
    "float_guess.guess_gelu": [((np.float32(value),), None) for value in SCALARS],
    "float_guess.guessable": [((scale, -8.0, 7.0), None) for scale in (0.1, 1e-40)],
    "float_guess.narrowed": [
        ((np.array([scale, 1.0]), _floats(2), np.zeros(2, np.float32), np.zeros(2, np.float32)), None)
        for scale in (0.1, 1e-40)
    ],
    "float_guess.guess_gelu_codes": [
        ((SUMS[0], _shorts(27) / 99, _shorts(27), scale, 2, -2.0, 13.0), ((27,), np.uint8)) for scale in (0.1, 1e-7)
    ],
    "float_guess.guess_shares": [((abs(_shorts(c)), 0.01, 2, -2.0, 13.0), ((c,), np.uint8)) for c in ROWS],
    "float_guess.guess_score_codes": [
        ((SUMS[0], unit, 0.1, 2, -2.0, 13.0, np.empty(27, np.float32)), ((27,), np.uint8)) for unit in (0.02, -1.0)
    ],
    "float_guess.guess_softmax_codes": [
        ((_floats(27), scale, 2, -2.0, 13.0, np.empty(27, np.float32)), ((27,), np.uint8)) for scale in (0.1, 1e-7)
    ],
    "float_finish.gelu_codes": [((SUMS[0], _floats(27) / 99, _floats(27), 0.1, 2, -2.0, 13.0), ((27,), np.uint8))],
    "float_finish.dequantize_add": [((SUMS, _floats(27), _floats(27)), ((4, 27), np.float64))],
    "float_finish.dequantize_add_residual": [((SUMS, _floats(27), _floats(27), _floats(4, 27)), ((4, 27), np.float64))],
    "float_finish.dequantize_add_gelu_quantize": [
        ((SUMS, _floats(27) / 99, _floats(27), 0.1, 2, 0, 15), ((4, 27), np.uint8))
    ],
    "float_finish.dequantize_quantize": [((SUMS, 0.1, 0.7, 3, 0, 15), ((4, 27), np.uint8))],
    "float_finish.dequantize_mul_softmax_quantize": [
        ((SUMS, 0.3, scaled, 0.125, bias, mask, 0.01, 0, 0, 15), ((4, 27), np.uint8))
        for scaled in (False, True)
        for bias, mask in ((NONE, NONE), (_floats(4, 27), NONE), (_floats(4, 27), _floats(4, 27) * 9))
    ],
    "float_finish.layernorm_quantize": [
        ((_floats(4, 27), _floats(27), _floats(27), 1e-5, 0.1, 8, 0, 15), ((4, 27), np.uint8))
    ],
    "float_groups.scores_to_codes": [
        (
            (GROUPS, np.array([0.3, 0.2]), True, 0.125, bias, mask, 2, np.array([0.01, 0.02]), ZEROS, 0, 15),
            ((4, 5, 9), np.uint8),
        )
        for bias, mask in ((NO_GROUPS, NO_GROUPS), (_floats(2, 5, 9), _floats(2, 5, 9) * 9))
    ],
    "float_groups.sums_to_codes": [
        ((GROUPS, np.array([0.3, 0.2]), np.array([0.7]), ZEROS[1:], 0, 15), ((4, 5, 9), np.uint8))
    ],
    "float_groups.norm_to_codes": [
        (
            (_floats(2, 2, 3, 9), _floats(9), _floats(9), 1e-5, np.array([0.1, 0.2]), ZEROS, 0, 15),
            ((2, 2, 3, 9), np.uint8),
        )
    ],
}


FUSED = ("float_guess.guess_exp", "float_guess.guess_gelu")
"""Their last bits are the CPU's choice; codes made of them are not."""


def test_every_kernel_is_called_here():
    assert set(KERNELS) == set(CALLS)


@pytest.mark.parametrize("name", KERNELS)
def test_compiled_equals_plain(name):
    compiled, plain = KERNELS[name]
    assert getattr(compiled, "py_func", plain) is plain
    for arguments, result in CALLS[name]:
        outs = [[] if result is None else [np.zeros(*result)] for _ in range(2)]
        values = [call(*arguments, *out) for call, out in zip((compiled, plain), outs, strict=True)]
        if name in FUSED:
            np.testing.assert_allclose(*values, rtol=1e-5, atol=1e-7)
        else:
            np.testing.assert_array_equal(*values)
        np.testing.assert_array_equal(*outs)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["NUMBA_DISABLE_JIT", "NUMBA_BOUNDSCHECK"])
def test_oracles_hold_without_the_compiler_and_with_bounds_checked(mode, tmp_path):
    """The oracle tests of the kernels again, as plain Python, and compiled with every index checked."""
    if any(os.environ.get(name) for name in ("NUMBA_DISABLE_JIT", "NUMBA_BOUNDSCHECK")):
        pytest.skip("already in one of these modes")
    names = ("packing", "narrow_gemm", "requantize", "elementwise", "isqrt", "round_shift")
    names += ("integer_norm", "integer_gelu", "integer_softmax")
    names += ("float_exp", "float_erf", "float_codes", "float_finish", "float_guess")
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
    options = getattr(kernel(_floats, fused=True), "targetoptions", {"fastmath": {"contract"}})
    assert options["fastmath"] == {"contract"}
