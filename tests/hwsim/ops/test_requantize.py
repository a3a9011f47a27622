from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import IllegalModel
from hwsim.op import Action
from hwsim.ops.requantize import Requantize, dyadic
from hwsim.spec import QuantSpec, TensorSpec

ACC = QuantSpec(32, True, (1.0,))


@given(
    data=st.data(),
    axis=st.sampled_from((None, 1, 2)),
    rounding=st.sampled_from(("half_even", "half_up", "floor")),
    seed=st.integers(0),
)
def test_equals_fractions(draw, apply, data, axis, rounding, seed):
    count = 1 if axis is None else (2, 3)[axis - 1]
    spec = draw.grid(data)
    multiplier = tuple(data.draw(st.lists(st.integers(1, 2**31 - 1), min_size=count, max_size=count)))
    shift = tuple(data.draw(st.lists(st.integers(1, 62), min_size=count, max_size=count)))
    acc = np.random.default_rng(seed).integers(-(2**31), 2**31, (4, 2, 3)).astype(np.int32)
    codes, out = apply(Requantize(spec, multiplier, shift, axis, rounding), (acc, TensorSpec((1, 2, 3), ACC)))
    assert (codes.dtype, out.quant) == (spec.container, spec)
    to_integer = {
        "half_even": round,
        "half_up": lambda q: (q + Fraction(1, 2)).__floor__(),
        "floor": lambda q: q.__floor__(),
    }
    for index, code in np.ndenumerate(codes):
        channel = 0 if axis is None else index[axis]
        exact = to_integer[rounding](Fraction(int(acc[index]) * multiplier[channel], 2 ** shift[channel]))
        assert code == min(max(exact + spec.zero_point[0], spec.qmin), spec.qmax)


@given(ratio=st.floats(2.0**-31, 2.0**-1), seed=st.integers(0))
def test_a_dyadic_ratio_is_within_one_code_of_the_real_one(apply, ratio, seed):
    multiplier, shift = dyadic(ratio)
    acc = np.random.default_rng(seed).integers(-(2**24), 2**24, (1, 50)).astype(np.int32)
    op = Requantize(QuantSpec(8, True, (1.0,)), (multiplier,), (shift,))
    codes, _ = apply(op, (acc, TensorSpec((1, 50), ACC)))
    assert np.abs(codes - np.clip(acc * ratio, -128, 127)).max() <= 0.5 + 2.0**-6


@given(ratio=st.floats(2.0**-31, 2.0**29), bits=st.integers(1, 31))
def test_dyadic_is_the_nearest(ratio, bits):
    try:
        multiplier, shift = dyadic(ratio, bits)
    except ValueError:
        assert ratio > 2.0 ** (bits - 1) * (1 - 2.0**-bits)
        return
    assert 0 < multiplier < 2**bits
    assert 1 <= shift <= 62
    assert abs(Fraction(multiplier, 2**shift) - Fraction(ratio)) <= Fraction(ratio) / 2**bits


@given(ratio=st.floats(2.0**-40, 1.7), bits=st.integers(2, 5))
def test_no_other_multiplier_is_nearer(ratio, bits):
    multiplier, shift = dyadic(ratio, bits)
    exact = Fraction(ratio)
    others = (Fraction(m, 2**s) for m in range(1, 2**bits) for s in range(1, 63))
    assert abs(Fraction(multiplier, 2**shift) - exact) == min(abs(other - exact) for other in others)


@pytest.mark.parametrize(
    ("ratio", "bits", "wanted"),
    [
        (1.0, 31, (2**30, 30)),
        (0.5, 31, (2**30, 31)),
        (2.0**-31, 31, (2**30, 61)),
        (2.0**-32, 31, (2**30, 62)),
        (2.0**-40, 31, (2**22, 62)),
        (1 - 2.0**-40, 31, (2**30, 30)),
        (0.7, 1, (1, 1)),
        (0.8, 1, None),
        (0.375, 2, (3, 3)),
        (0.3, 1, (1, 2)),
    ],
)
def test_dyadic_values(ratio, bits, wanted):
    if wanted is None:
        with pytest.raises(ValueError, match=r"^dyadic: the ratio must be within 2\*\*-62\.\.2\*\*0, got 0\.8;"):
            dyadic(ratio, bits)
    else:
        assert dyadic(ratio, bits) == wanted


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (0.0, "dyadic: a ratio of scales must be positive and finite, got 0.0"),
        (-0.5, "dyadic: a ratio of scales must be positive and finite, got -0.5"),
        (float("nan"), "dyadic: a ratio of scales must be positive and finite, got nan"),
        (float("inf"), "dyadic: a ratio of scales must be positive and finite, got inf"),
        (2.0**30, "dyadic: the ratio must be within 2**-32..2**30, got 1073741824.0; rescale one side"),
        (3e-11, "dyadic: the ratio must be within 2**-32..2**30, got 3e-11; rescale one side"),
    ],
)
def test_dyadic_refuses(ratio, text):
    with pytest.raises(ValueError, match=r".") as caught:
        dyadic(ratio)
    assert str(caught.value) == text


GRID = QuantSpec(8, True, (1.0,))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"rounding": "up"},
            "requantize: rounding must be one of half_even, half_up, double_round, floor, got 'up'",
        ),
        ({"shift": (1, 2)}, "requantize: one shift per multiplier, got 2 for 1"),
        ({"multiplier": (), "shift": ()}, "requantize: one shift per multiplier, got 0 for 0"),
        ({"multiplier": (2**31,)}, "requantize: multiplier must be 1..2**31-1 and shift 1..62, got 2147483648 and 5"),
        ({"multiplier": (0,)}, "requantize: multiplier must be 1..2**31-1 and shift 1..62, got 0 and 5"),
        ({"shift": (63,)}, "requantize: multiplier must be 1..2**31-1 and shift 1..62, got 1 and 63"),
        ({"shift": (0,)}, "requantize: multiplier must be 1..2**31-1 and shift 1..62, got 1 and 0"),
    ],
)
def test_built_wrong(fields, text):
    with pytest.raises(ValueError, match=r".") as caught:
        Requantize(**{"spec": GRID, "multiplier": (1,), "shift": (5,), **fields})
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("op", "acc", "text"),
    [
        (
            Requantize(GRID, (1,), (1,)),
            TensorSpec((1, 2)),
            "requantize takes integers, got (B, 2) float; quantize floats instead",
        ),
        (Requantize(GRID, (1,), (1,), 1), TensorSpec((1, 2), ACC), "2 multipliers are needed, got 1; check axis"),
        (Requantize(GRID, (1,), (1,), 2), TensorSpec((1, 2), ACC), "an axis is 0..1, got 2; count axes from the front"),
        (
            Requantize(GRID, (1,), (1,), 0),
            TensorSpec((1, 2), ACC),
            "the batch has no channels, got 0; choose another axis",
        ),
        (
            Requantize(GRID, (1,), (1,)),
            TensorSpec((1, 2), QuantSpec(8, False, (1.0,), (3,))),
            "an accumulator has zero_point 0, got (B, 2) u8 per_tensor scale=1 zero_point=3; centre it before",
        ),
        (
            Requantize(GRID, (1,), (1,)),
            TensorSpec((1, 2), QuantSpec(32, False, (1.0,))),
            "an accumulator is a signed integer of 32 bits, got (B, 2) u32 per_tensor scale=1; make it signed",
        ),
        (
            Requantize(QuantSpec(8, True, (1.0, 1.0), (0, 0), 1), (1,), (1,)),
            TensorSpec((1, 2), ACC),
            "requantized codes have one scale, got s8 per_channel(axis=1, n=2); give it per tensor",
        ),
    ],
)
def test_illegal(op, acc, text):
    with pytest.raises(IllegalModel) as caught:
        op.infer((acc,))
    assert str(caught.value) == text


def test_cost():
    op, acc = Requantize(GRID, (1,), (1,)), TensorSpec((1, 6), QuantSpec(19, True, (1.0,)))
    assert op.count((acc,), op.infer((acc,))) == {Action("requantize", 19, 8): 6}
