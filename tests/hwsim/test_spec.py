import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.op import bounds
from hwsim.spec import BipolarSpec, QuantSpec, ShiftSpec, TensorSpec, along, describe, narrowest, signed_bits


@pytest.mark.parametrize(
    ("bits", "signed", "qmin", "qmax", "container"),
    [
        (1, True, -1, 0, "int8"),
        (1, False, 0, 1, "uint8"),
        (2, True, -2, 1, "int8"),
        (7, False, 0, 127, "uint8"),
        (8, True, -128, 127, "int8"),
        (8, False, 0, 255, "uint8"),
        (9, True, -256, 255, "int16"),
        (16, False, 0, 65535, "uint16"),
        (17, False, 0, 131071, "uint32"),
        (32, True, -(2**31), 2**31 - 1, "int32"),
        (32, False, 0, 2**32 - 1, "uint32"),
    ],
)
def test_range_and_container(bits, signed, qmin, qmax, container):
    spec = QuantSpec(bits, signed, (0.5,))
    assert (spec.qmin, spec.qmax, spec.container.name) == (qmin, qmax, container)
    if bits <= 9:
        assert spec.codebook().tolist() == list(range(qmin, qmax + 1))


@given(data=st.data())
def test_to_real_is_s1(draw, exact, data):
    codes, spec = draw.tensor(data, (2, 3, 4), images=2, axis=data.draw(st.sampled_from((None, 1, 2))))
    expected = exact(codes, spec).astype(float) * along(spec.quant.scale, spec.quant.axis, 3, np.float64)
    np.testing.assert_array_equal(spec.quant.to_real(codes), expected)


def test_to_real_of_wide_codes_is_exact():
    assert QuantSpec(32, False, (0.5,), (2**32 - 1,)).to_real(np.array([0], np.uint32)) == [-(2**32 - 1) / 2]


def test_bipolar():
    spec = BipolarSpec((0.5, 2.0), axis=1)
    assert (spec.bits, spec.qmin, spec.qmax, spec.zero_point, spec.container.name) == (1, -1, 1, (0, 0), "int8")
    assert spec.codebook().tolist() == [-1, 1]
    np.testing.assert_array_equal(spec.to_real(np.array([[1, -1], [-1, 1]], np.int8)), [[0.5, -2.0], [-0.5, 2.0]])
    assert spec.moved_to(0) == BipolarSpec((0.5, 2.0), axis=0)
    assert spec.moved_to(1) is spec


def test_worked_example_of_codes_that_are_not_uniform():
    """S14: two bits, three of them in use: 3 << 1 less 2 is 4, 0 less 2 is -2, 1 << 1 less 2 is 0."""
    spec = ShiftSpec(2, (0.5,), (3, 0, 1, 2), (1, 0, 1, 0), (-1.0, 2.5), zero=2)
    assert spec.values().tolist() == [4, -2, 0, 0]
    assert spec.order().tolist() == [1, 2, 0], "ascending, the lower of two equal codes"
    assert spec.to_real(np.array([[0, 1], [3, 2]], np.uint8)).tolist() == [[2.0, -1.0], [0.0, 0.0]]
    assert (spec.bits, spec.signed, spec.qmin, spec.qmax, spec.zero_point) == (2, False, 0, 3, (0,))
    assert (spec.container.name, spec.codebook().tolist(), bounds(TensorSpec((1,), spec))) == (
        "uint8",
        [0, 1, 2, 3],
        (-2, 4),
    )


@given(data=st.data())
def test_to_real_of_codes_that_are_not_uniform(draw, exact, data):
    axis = data.draw(st.sampled_from((None, 1, 2)))
    spec = TensorSpec((1, 3, 3), draw.shift_grid(data, axis, 3))
    codes = draw.codes(data, spec, 2)
    expected = exact(codes, spec).astype(float) * along(spec.quant.scale, axis, 3, np.float64)
    np.testing.assert_array_equal(spec.quant.to_real(codes), expected)
    integers = exact(spec.quant.codebook(), TensorSpec((1,), dataclasses.replace(spec.quant, scale=(1.0,), axis=None)))
    assert bounds(spec) == (integers.min(), integers.max())


def test_codes_that_are_not_uniform_move_with_their_axis():
    spec = ShiftSpec(1, (0.5, 2.0), (1, 2), (0, 0), (1.5,), axis=1)
    assert spec.moved_to(0) == dataclasses.replace(spec, axis=0)
    assert spec.moved_to(1) is spec
    assert spec.zero_point == (0, 0)
    assert spec.to_real(np.array([[1, 1]], np.uint8)).tolist() == [[1.0, 4.0]]
    assert str(TensorSpec((1, 2), spec)) == "(B, 2) shift1 per_channel(axis=1, n=2)"
    assert hash(spec) == hash(dataclasses.replace(spec))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"bits": 0}, "ShiftSpec: bits must be 1..8, got 0"),
        ({"bits": 9}, "ShiftSpec: bits must be 1..8, got 9"),
        ({"scale": (0.0,)}, "ShiftSpec: scale must be positive, normal and finite, got 0.0 at 0; calibrate"),
        ({"scale": (1.0, 1.0)}, "ShiftSpec: a per_tensor grid has one scale, got 2; give the axis of the others"),
        ({"shift": (0, 0, 0)}, "ShiftSpec: 4 significands and shifts are needed, got 4 and 3"),
        ({"bits": 3}, "ShiftSpec: 8 significands and shifts are needed, got 4 and 4"),
        (
            {"shift": (0, 0, -1, 0)},
            "ShiftSpec: shift must be 0..62, got -1 at 2; lower the bits",
        ),
        (
            {"shift": (63, 0, 0, 0)},
            "ShiftSpec: shift must be 0..62, got 63 at 0; lower the bits",
        ),
        (
            {"significand": (1.0, 2, 4, 8)},
            "ShiftSpec: significand must be integers, got 1.0 at 0; convert it",
        ),
        ({"shift": (31, 0, 0, 0)}, "ShiftSpec: values must fit 32 bits, got (1 << 31) - 0 at 0; lower the bits"),
        ({"zero": 1 << 31}, "ShiftSpec: values must fit 32 bits, got (1 << 0) - 2147483648 at 0; lower the bits"),
        ({"zero": 0.5}, "ShiftSpec: zero must be an integer, got 0.5; convert it"),
        ({"significand": (3, 3, 3, 3)}, "ShiftSpec: two distinct values are needed, got 3 for all codes"),
        ({"boundaries": (1.5, 3.0)}, "ShiftSpec: 4 values have 3 boundaries, got 2"),
        ({"significand": (1, 2, 4, 4)}, "ShiftSpec: 3 values have 2 boundaries, got 3"),
        ({"boundaries": (1.5, 3.0, 8.0)}, "ShiftSpec: a boundary must lie between 4 and 8, got 8.0"),
        ({"boundaries": (1.0, 3.0, 6.0)}, "ShiftSpec: a boundary must lie between 1 and 2, got 1.0"),
        ({"boundaries": (1.5, float("nan"), 6.0)}, "ShiftSpec: a boundary must lie between 2 and 4, got nan"),
    ],
)
def test_illegal_shifts(fields, text):
    legal = {"bits": 2, "scale": (1.0,), "significand": (1, 2, 4, 8), "shift": (0,) * 4, "boundaries": (1.5, 3.0, 6.0)}
    ShiftSpec(**legal)
    with pytest.raises(ValueError, match=r".") as caught:
        ShiftSpec(**{**legal, **fields})
    assert str(caught.value) == text


def test_values_of_32_bits_are_the_widest():
    spec = ShiftSpec(1, (1.0,), (-1, 1), (31, 30), (0.0,))
    assert spec.values().tolist() == [-(2**31), 2**30]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"bits": 0}, "QuantSpec: bits must be 1..32, got 0"),
        ({"bits": 33}, "QuantSpec: bits must be 1..32, got 33"),
        ({"scale": (0.0,)}, "QuantSpec: scale must be positive, normal and finite, got 0.0 at 0; calibrate"),
        ({"scale": (-1.0,)}, "QuantSpec: scale must be positive, normal and finite, got -1.0 at 0; calibrate"),
        ({"scale": (5e-324,)}, "QuantSpec: scale must be positive, normal and finite, got 5e-324 at 0; calibrate"),
        ({"scale": (float("nan"),)}, "QuantSpec: scale must be positive, normal and finite, got nan at 0; calibrate"),
        (
            {"scale": (1.0, float("inf")), "zero_point": (0, 0), "axis": 1},
            "QuantSpec: scale must be positive, normal and finite, got inf at 1; calibrate",
        ),
        ({"scale": ()}, "QuantSpec: a per_tensor grid has one scale, got 0; give the axis of the others"),
        ({"scale": (1.0, 1.0)}, "QuantSpec: a per_tensor grid has one scale, got 2; give the axis of the others"),
        ({"zero_point": (0, 0)}, "QuantSpec: as many zero points as scales are needed, got 2 for 1"),
        ({"zero_point": (8,)}, "QuantSpec: zero_point must be in -8..7, got 8 at 0"),
        ({"zero_point": (-9,)}, "QuantSpec: zero_point must be in -8..7, got -9 at 0"),
        ({"zero_point": (0.5,)}, "QuantSpec: zero_point must be integers, got 0.5 at 0; convert it"),
        ({"zero_point": (False,)}, "QuantSpec: zero_point must be integers, got False at 0; convert it"),
        ({"zero_point": 0}, "QuantSpec: zero_point must be a tuple of integers, got 0; convert it"),
        ({"bits": "4"}, "QuantSpec: bits must be an integer, got '4'; convert it"),
        ({"bits": np.int64(4)}, "QuantSpec: bits must be an integer, got np.int64(4); convert it"),
        ({"bits": True}, "QuantSpec: bits must be an integer, got True; convert it"),
        ({"signed": 1}, "QuantSpec: signed must be a bool, got 1; convert it"),
        ({"scale": ("1",)}, "QuantSpec: scale must be floats, got '1' at 0; convert it"),
        ({"scale": (1,)}, "QuantSpec: scale must be floats, got 1 at 0; convert it"),
        ({"axis": 1.0}, "QuantSpec: axis must be an integer or None, got 1.0; convert it"),
    ],
)
def test_illegal_grids(fields, text):
    with pytest.raises(ValueError, match=r".") as caught:
        QuantSpec(**{"bits": 4, "signed": True, "scale": (1.0,), **fields})
    assert str(caught.value) == text


def test_illegal_bipolar():
    with pytest.raises(ValueError, match=r"^BipolarSpec: scale must be positive, normal and finite, got 0.0 at 0"):
        BipolarSpec((0.0,))
    with pytest.raises(ValueError, match=r"^BipolarSpec: scale must be a tuple of floats, got \[1.0\]; convert it$"):
        BipolarSpec([1.0])


@pytest.mark.parametrize(
    ("shape", "quant", "batched", "text"),
    [
        ((1, 0), None, True, "TensorSpec: sizes must be 1 or more, got (1, 0)"),
        ((), None, True, "TensorSpec: sizes must be 1 or more, got ()"),
        ((1, 2.0), None, True, "TensorSpec: shape must be integers, got 2.0 at 1; convert it"),
        ((1, 2), None, 1, "TensorSpec: batched must be a bool, got 1; convert it"),
        ((1, 2), (2, 0), True, "TensorSpec: no channel axis 0 in shape (1, 2)"),
        ((1, 2), (2, 2), True, "TensorSpec: no channel axis 2 in shape (1, 2)"),
        ((1, 2), (2, -1), True, "TensorSpec: no channel axis -1 in shape (1, 2)"),
        ((1, 2), (3, 1), True, "TensorSpec: axis 1 has 2 channels, got 3 scales"),
    ],
)
def test_illegal_tensors(shape, quant, batched, text):
    grid = quant and QuantSpec(4, True, (1.0,) * quant[0], (0,) * quant[0], quant[1])
    with pytest.raises(ValueError, match=r".") as caught:
        TensorSpec(shape, grid, batched)
    assert str(caught.value) == text


def test_text_of_specs():
    per_channel = QuantSpec(4, True, (1.0,) * 3, (0,) * 3, 1)
    assert str(TensorSpec((1, 197, 384))) == "(B, 197, 384) float"
    assert str(TensorSpec((64, 49, 3), QuantSpec(4, False, (0.123456,), (3,)))) == (
        "(64B, 49, 3) u4 per_tensor scale=0.1235 zero_point=3"
    )
    assert str(TensorSpec((2, 3), per_channel, batched=False)) == "(2, 3) s4 per_channel(axis=1, n=3)"
    assert describe(BipolarSpec((2.0,))) == "bipolar per_tensor scale=2"


def test_specs_are_values():
    spec = TensorSpec((1, 3), QuantSpec(4, True, (1.0,) * 3, (0,) * 3, 1))
    assert hash(spec) == hash(dataclasses.replace(spec))
    assert (spec.bits, spec.elements, TensorSpec((1, 3)).bits) == (4, 3, 32)
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.shape = (1, 4)


@given(low=st.integers(-(2**40), 2**40), high=st.integers(-(2**40), 2**40))
def test_signed_bits_are_the_fewest(low, high):
    low, high = sorted((low, high))
    bits = signed_bits(low, high)
    assert -(2 ** (bits - 1)) <= low <= high < 2 ** (bits - 1)
    assert bits == 1 or not (-(2 ** (bits - 2)) <= low <= high < 2 ** (bits - 2))


def test_no_container():
    with pytest.raises(ValueError, match=r"^narrowest: no integer container of 32 bits holds -1\.\.4294967295$"):
        narrowest(-1, 2**32 - 1)
