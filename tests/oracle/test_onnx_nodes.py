"""ONNX's node tests of the operators that we have, run through ours: integers equal, floats to the case's tolerance.

A case is run, or stands in CANNOT with the error that it gets. The expanded variants (a function written as a graph of
elementary float nodes, `test_dynamicquantizelinear_expanded` for one) hold the same numbers and are not looked at.
"""

from fractions import Fraction

import numpy as np
import pytest
from onnx_cases import Outside
from onnx_nodes import RUN, load

from hwsim.errors import IllegalModel

CASES = load()
NAMES = [case.name for case in CASES]

CANNOT = {
    name: reason
    for reason, names in {
        "float8_e4m3fn is no integer": (
            "test_dequantizelinear_e4m3fn",
            "test_dequantizelinear_e4m3fn_float16",
            "test_dequantizelinear_e4m3fn_zero_point",
            "test_quantizelinear_e4m3fn",
        ),
        "float8_e5m2 is no integer": ("test_dequantizelinear_e5m2", "test_quantizelinear_e5m2"),
        "float4_e2m1fn is no integer": ("test_dequantizelinear_float4e2m1", "test_quantizelinear_float4e2m1"),
        "uint64 is no integer of at most 32 bits": (
            "test_add_uint64",
            "test_div_uint64",
            "test_mul_uint64",
            "test_sub_uint64",
        ),
        "the sum needs 34 bits, got 32": ("test_add_uint32",),  # ONNX wraps; ours is proven not to
        "mul takes floats": (  # codes multiply codes in matmul alone
            "test_mul_int8",
            "test_mul_int16",
            "test_mul_uint8",
            "test_mul_uint16",
            "test_mul_uint32",
        ),
        "sub takes floats": ("test_sub_int8", "test_sub_int16", "test_sub_uint8", "test_sub_uint16", "test_sub_uint32"),
        "div takes floats": (
            "test_div_int8",
            "test_div_int16",
            "test_div_int32_trunc",
            "test_div_uint8",
            "test_div_uint16",
            "test_div_uint32",
        ),
        "clip takes floats": (
            "test_clip_default_int8_inbounds",
            "test_clip_default_int8_max",
            "test_clip_default_int8_min",
        ),
        "an image has a height and a width alone": (
            "test_averagepool_1d_default",
            "test_averagepool_3d_default",
            *(
                f"test_averagepool_3d_dilations_large_count_include_pad_is_{count}_ceil_mode_is_{ceil}"
                for count in (0, 1)
                for ceil in (False, True)
            ),
            "test_averagepool_3d_dilations_small",
            "test_maxpool_1d_default",
            "test_maxpool_3d_default",
            "test_maxpool_3d_dilations",
            "test_maxpool_3d_dilations_use_ref_impl",
            "test_maxpool_3d_dilations_use_ref_impl_large",
        ),
        "a mean is of neighbours, with the same padding on both sides": (
            "test_averagepool_2d_dilations",
            "test_averagepool_2d_same_lower",
            "test_averagepool_2d_same_upper",
        ),
        "a maximum is given without its place": (
            "test_maxpool_with_argmax_2d_precomputed_pads",
            "test_maxpool_with_argmax_2d_precomputed_strides",
        ),
        "padding is constant": ("test_edge_pad", "test_reflect_pad", "test_wrap_pad"),
        "leading axes must agree": ("test_matmul_bcast", "test_matmul_1d_3d", "test_matmul_4d_1d"),
        "sizes must be 1 or more": ("test_reshape_allowzero_reordered", "test_reduce_l2_empty_set"),
        "a range of 20, got Slice(axis=0, start=19, stop=0, step=-1": ("test_slice_neg_steps",),
        "a range of 10, got Slice(axis=1, start=10, stop=10": ("test_slice_start_out_of_bounds",),  # an empty result
    }.items()
    for name in names
}

FLOAT32_QUOTIENT = {"test_dynamicquantizelinear": [5]}
"""Where ONNX's codes are off by one, at these elements: it divides in float32, which makes a tie of what is none."""


def _equal(ours, theirs, case):
    assert ours.shape == theirs.shape
    if theirs.dtype.kind == "f":
        np.testing.assert_allclose(ours, theirs.astype(np.float64), rtol=case.rtol, atol=case.atol)
    else:
        np.testing.assert_array_equal(ours.astype(np.int64), theirs.astype(np.int64))


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_node(case):
    if case.name in CANNOT:
        with pytest.raises((Outside, IllegalModel, ValueError)) as caught:
            RUN[case.op_type](case)
        assert CANNOT[case.name] in str(caught.value)
        return
    ours, *none = RUN[case.op_type](case)
    assert not none
    if case.name in FLOAT32_QUOTIENT:
        assert np.flatnonzero(ours != case.outputs[0]).tolist() == FLOAT32_QUOTIENT[case.name]
    else:
        _equal(ours, case.outputs[0], case)


@pytest.mark.parametrize("name", FLOAT32_QUOTIENT)
def test_ours_is_the_exact_quotient_and_theirs_that_of_float32(name):
    case = CASES[NAMES.index(name)]
    (x,), (theirs, scale, zero) = case.inputs, case.outputs
    exact = [round(Fraction(float(value)) / Fraction(float(scale))) + int(zero) for value in x]
    single = [round(Fraction(float(np.float32(value) / np.float32(scale)))) + int(zero) for value in x]
    assert np.clip(exact, 0, 255).tolist() == RUN[case.op_type](case)[0].tolist()
    assert np.clip(single, 0, 255).tolist() == theirs.tolist()


def test_nothing_is_listed_that_is_not_there():
    assert set(CANNOT) | set(FLOAT32_QUOTIENT) <= set(NAMES)
    assert {case.op_type for case in CASES} == set(RUN)


def test_the_integer_cases_all_run():
    """The operators that are about codes: all cases but those of 8- and 4-bit floats."""
    about_codes = [case.name for case in CASES if "Linear" in case.op_type or "Integer" in case.op_type]
    assert len(about_codes) >= 42
    assert all("is no integer" in CANNOT[name] for name in about_codes if name in CANNOT)
