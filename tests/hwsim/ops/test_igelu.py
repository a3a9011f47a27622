import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import IllegalModel
from hwsim.kernels.requantize import ROUNDINGS
from hwsim.op import Action
from hwsim.ops.igelu import IGelu
from hwsim.spec import QuantSpec, TensorSpec, signed_bits


def span(bits, reach, codes=None):
    """Codes of a signed grid of -reach..reach, all of them or those given, and their spec."""
    grid = QuantSpec(bits, True, (reach / 2 ** (bits - 1),))
    codes = (grid.codebook() if codes is None else np.array(codes)).astype(grid.container).reshape(1, -1)
    return codes, TensorSpec(codes.shape, grid)


def parabola(x):
    """i-GELU of I-BERT in float64."""
    z = np.minimum(np.abs(x) / math.sqrt(2), 1.769) - 1.769
    return x / 2 * (1 + np.sign(x) * (1 - 0.2888 * z * z))


def exact(q, op):
    """S13b in Python's integers, half to even, with the widths that hardware needs."""
    u = min(abs(q) << op.fraction, op.b) - op.b
    sign = (q > 0) - (q < 0)
    w = (sign * (op.c - u * u) + op.c) >> op.erf_shift
    product = q * w
    assert abs(q) << op.fraction < 2**62
    assert 0 <= w <= op.one
    assert abs(product) < 2**62
    low, high = -(1 << (op.bits - 1)), (1 << (op.bits - 1)) - 1
    code, rest = product >> op.shift, product & ((1 << op.shift) - 1)
    code += 2 * rest + (code & 1) > 1 << op.shift if op.shift else 0
    assert low <= code <= high + 1, "nothing but the last rounding may saturate"
    return min(code, high)


@given(data=st.data(), width=st.integers(2, 16), bits=st.integers(4, 24))
def test_equals_unbounded_integers(draw, apply, data, width, bits):
    codes, x = draw.tensor(data, (1, 3, 5), bits=width)
    op = IGelu.lower(x, None, bits)
    result, out = apply(op, (codes, x))
    assert out.quant == QuantSpec(bits, True, (x.quant.scale[0] * 2.0**op.shift / op.one,))
    centred = codes.astype(int) - x.quant.zero_point[0]
    assert result.tolist() == [[[exact(q, op) for q in row] for row in image] for image in centred.tolist()]


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_rounding_modes(apply, rounding):
    codes, x = span(8, 4)
    op = dataclasses.replace(IGelu.lower(x, None, 6), rounding=rounding)
    products = np.array([exact(q, dataclasses.replace(op, shift=0, bits=63)) for q in codes[0].tolist()])
    wanted = {
        "half_even": np.rint(products / 2**op.shift),  # below 2^53: exact
        "half_up": np.floor(products / 2**op.shift + 0.5),
        "double_round": np.floor(products / 2**op.shift + 0.5),  # shifts of 31 or less
        "floor": np.floor(products / 2**op.shift),
    }
    result, _ = apply(op, (codes, x))
    assert op.shift <= 31
    assert result[0].tolist() == np.minimum(wanted[rounding], 31).tolist()


@pytest.mark.parametrize(
    ("bits", "reach", "most", "mean"),
    [(bits, reach, 0.0185, mean) for bits in (8, 10, 16) for reach, mean in ((4, 0.0065), (8, 0.0033), (16, 0.0017))],
)
def test_distance_to_gelu_over_all_codes(apply, bits, reach, most, mean):
    """The parabola's own distance, to which the integers add half a step of the output and 2.5e-4 at most."""
    codes, x = span(bits, reach)
    op = IGelu.lower(x)
    result, out = apply(op, (codes, x))
    real = x.quant.to_real(codes)
    gelu = torch.nn.functional.gelu(torch.from_numpy(real)).numpy()
    assert np.abs(op.reference(real, (x,), out) - gelu).max() <= 1e-14
    distance = np.abs(out.quant.to_real(result) - gelu)
    assert distance.max() <= most
    assert distance.mean() <= mean
    assert np.abs(out.quant.to_real(result) - parabola(real)).max() <= 0.5 * out.quant.scale[0] + 2.5e-4


@pytest.mark.parametrize(("bits", "reach"), [(4, 4), (8, 8), (16, 0.2), (24, 8), (32, 8), (32, 3000)])
def test_any_width_and_the_scale_is_true(apply, bits, reach):
    """The output uses its width, and is x where x is large."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    codes, x = span(bits, reach, np.linspace(low, high, 999).astype(np.int64))
    op = IGelu.lower(x)
    result, out = apply(op, (codes, x))
    assert result[0].tolist() == [exact(q, op) for q in codes[0].tolist()]
    assert 2**13 <= np.abs(result).max() < 2**15
    real, got = x.quant.to_real(codes), out.quant.to_real(result)
    large = real > 2.6
    assert (np.abs(got - real)[large] <= 0.5001 * out.quant.scale[0]).all()
    assert (result[real < -2.6] == 0).all()
    assert np.abs(got - parabola(real)).max() <= 0.5 * out.quant.scale[0] + 2.5e-4


def test_the_released_shift_of_14_destroys_8_bit_codes(apply):
    """erf of 8-bit codes has 11 bits or so: the released code drops 14 of them, and every positive x becomes 0."""
    codes, x = span(8, 8)
    scale = x.quant.scale[0] / 1.4142
    b, c = math.floor(-1.769 / scale), math.floor(1 / -0.2888 / scale**2)
    erf = [((q > 0) - (q < 0)) * ((min(abs(q), -b) + b) ** 2 + c) >> 14 for q in codes[0].tolist()]
    one = math.floor(1 / (scale**2 * -0.2888 * 2**14))
    released = np.array([q * (e + one) for q, e in zip(codes[0].tolist(), erf, strict=True)])
    released = released * x.quant.scale[0] * scale**2 * -0.2888 * 2**14 / 2
    gelu = torch.nn.functional.gelu(torch.from_numpy(x.quant.to_real(codes)))[0].numpy()
    assert np.abs(released - gelu).max() > 7.9
    result, out = apply(IGelu.lower(x), (codes, x))
    assert np.abs(out.quant.to_real(result)[0] - gelu).max() < 0.0185


def test_the_released_shift_suits_a_32_bit_accumulator():
    _, x = span(32, 64, [0])
    assert IGelu.lower(x).erf_shift >= 14


def test_worked_example(apply):
    """docs/semantics.md, S13b."""
    codes, x = span(3, 4, [-3, -1, 0, 1, 3])
    op = IGelu(b=10, c=111, bits=6, fraction=2, shift=5)
    assert [exact(q, dataclasses.replace(op, shift=0, bits=20)) for q in (-3, -1, 0, 1, 3)] == [0, -36, 0, 186, 666]
    result, out = apply(op, (codes, x))
    assert result.tolist() == [[0, -1, 0, 6, 21]]
    assert out.quant.scale == (32 / 222,)


X = span(8, 8)[1]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"b": 43}, "igelu: 1 <= b * b <= c < 2**61 must hold, got b=43 and c=1773"),
        ({"b": 0}, "igelu: 1 <= b * b <= c < 2**61 must hold, got b=0 and c=1773"),
        ({"c": 2**61}, f"igelu: 1 <= b * b <= c < 2**61 must hold, got b=40 and c={2**61}"),
        ({"fraction": -1}, "igelu: fraction must be 0..62 and erf_shift must leave a bit of 2 * c, got -1 and 0"),
        ({"erf_shift": 12}, "igelu: fraction must be 0..62 and erf_shift must leave a bit of 2 * c, got 0 and 12"),
        ({"shift": 63}, "igelu: shift must be 0..62, got 63"),
        ({"rounding": "up"}, "igelu: rounding must be one of half_even, half_up, double_round, floor, got 'up'"),
    ],
)
def test_built_wrong(fields, text):
    with pytest.raises(ValueError, match=r".") as caught:
        IGelu(**{"b": 40, "c": 1773, **fields})
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("op", "x", "text"),
    [
        (IGelu(40, 1773), X, None),
        (
            IGelu(41, 1773),
            X,
            "a scale of 0.0625 has b, c = (40, 1773), got (41, 1773); lower it again",
        ),
        (
            IGelu(40, 1773),
            TensorSpec((1, 3), QuantSpec(8, True, (0.1,) * 3, (0,) * 3, 1)),
            "igelu takes codes of one scale, got (B, 3) s8 per_channel(axis=1, n=3); requantize its input to one scale",
        ),
        (
            IGelu(40, 1773),
            TensorSpec((1, 3)),
            "igelu takes codes of an affine grid, got (B, 3) float; quantize its input",
        ),
        (
            IGelu(2623268, 7614346452742, erf_shift=0),
            TensorSpec((1, 3), QuantSpec(32, True, (8 / 2**23,))),
            "igelu's product needs 75 bits, got 62; lower the bits of its input",
        ),
    ],
)
def test_illegal(op, x, text):
    if text is None:
        op.infer((x,))
        return
    with pytest.raises(IllegalModel) as caught:
        op.infer((x,))
    assert str(caught.value) == text


def test_a_scale_too_fine_to_be_lowered():
    with pytest.raises(IllegalModel) as caught:
        IGelu.lower(TensorSpec((1, 3), QuantSpec(32, True, (1e-9,))))
    assert str(caught.value) == "igelu's erf needs 64 bits, got 62; lower the bits of its input"


def test_cost():
    x = TensorSpec((1, 3, 5), QuantSpec(8, True, (0.0625,)))
    op = IGelu.lower(x)
    assert (op.fraction, op.erf_shift, op.shift, op.b, op.c) == (5, 0, 14, 1281, 1815402)
    assert op.count((x,), op.infer((x,))) == {
        Action("max", 13, 12): 15,
        Action("mul", 12, 12): 15,
        Action("mul", 8, 22): 15,
        Action("add", 12, 12): 15,
        Action("add", 23, 23): 30,
        Action("add", 30, 30): 15,
        Action("shift", 8, 8): 15,
        Action("shift", 30, 30): 15,
    }
    assert signed_bits(-128 * op.one, 127 * op.one) == 8 + 22
