import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.spec import BipolarSpec, QuantSpec, TensorSpec, along, describe, narrowest, signed_bits


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
        ({"zero_point": (0.5,)}, "QuantSpec: zero_point must be in -8..7, got 0.5 at 0"),
    ],
)
def test_illegal_grids(fields, text):
    with pytest.raises(ValueError, match=r".") as caught:
        QuantSpec(**{"bits": 4, "signed": True, "scale": (1.0,), **fields})
    assert str(caught.value) == text


def test_illegal_bipolar():
    with pytest.raises(ValueError, match=r"^BipolarSpec: scale must be positive, normal and finite, got 0.0 at 0"):
        BipolarSpec((0.0,))


@pytest.mark.parametrize(
    ("shape", "quant", "batched", "text"),
    [
        ((1, 0), None, True, "TensorSpec: sizes must be 1 or more, got (1, 0)"),
        ((), None, True, "TensorSpec: sizes must be 1 or more, got ()"),
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
