import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import IllegalModel
from hwsim.op import Action
from hwsim.ops.pad import Pad
from hwsim.spec import BipolarSpec, QuantSpec, TensorSpec

SIDES = st.tuples(st.just(0), st.just(0), st.integers(0, 2), st.integers(0, 3))


@given(before=SIDES, after=SIDES, data=st.data(), axis=st.sampled_from((None, 1)))
def test_codes_around_it_are_real_zeros(draw, apply, before, after, data, axis):
    x, spec = draw.tensor(data, (1, 2, 3, 4), images=2, axis=axis)
    codes, out = apply(Pad(before, after), (x, spec))
    wanted = np.pad(spec.quant.to_real(x), tuple(zip(before, after, strict=True)))
    assert codes.dtype == spec.quant.container
    np.testing.assert_array_equal(out.quant.to_real(codes), wanted)
    assert codes.shape == (2, *out.shape[1:])


@given(before=SIDES, after=SIDES, lowest=st.booleans())
def test_floats(apply, floats, before, after, lowest):
    x = np.random.default_rng(1).normal(size=(2, 2, 3, 4))
    value, _ = apply(Pad(before, after, lowest), floats(x))
    fill = -np.inf if lowest else 0.0
    np.testing.assert_array_equal(value, np.pad(x, tuple(zip(before, after, strict=True)), constant_values=fill))


def test_the_lowest_code_never_wins(apply):
    x = np.array([[5, 9]], np.uint8), TensorSpec((1, 2), QuantSpec(4, False, (1.0,), (7,)))
    assert apply(Pad((0, 1), (0, 0), lowest=True), x)[0].tolist() == [[0, 5, 9]]


def test_what_is_there_moves():
    x = TensorSpec((1, 2, 3), QuantSpec(4, True, (1.0,)))
    op = Pad((0, 0, 1), (0, 0, 1))
    assert op.count((x,), op.infer((x,))) == {Action("move", 4, 4): 6}


@pytest.mark.parametrize(
    ("op", "quant", "text"),
    [
        (
            Pad((0, 1), (0, 1)),
            None,
            "padding is 3 numbers of 0 or more on either side, got Pad(before=(0, 1), after=(0, 1), lowest=False); check "
            "the layer",
        ),
        (
            Pad((0, -1, 0), (0, 0, 0)),
            None,
            "padding is 3 numbers of 0 or more on either side, got Pad(before=(0, -1, 0), after=(0, 0, 0), lowest=False); "
            "check the layer",
        ),
        (
            Pad((1, 0, 0), (0, 0, 0)),
            None,
            "the batch is not padded, got Pad(before=(1, 0, 0), after=(0, 0, 0), lowest=False); pad another axis",
        ),
        (
            Pad((0, 0, 1), (0, 0, 0)),
            BipolarSpec((1.0,)),
            "floats or codes of an affine grid have a zero, got (B, 2, 3) bipolar per_tensor scale=1; requantize it before",
        ),
        (
            Pad((0, 1, 0), (0, 0, 0)),
            QuantSpec(4, True, (1.0, 2.0), (0, 0), 1),
            "padding has one scale, got (B, 2, 3) s4 per_channel(axis=1, n=2); quantize per tensor",
        ),
    ],
)
def test_illegal(op, quant, text):
    with pytest.raises(IllegalModel) as caught:
        op.infer((TensorSpec((1, 2, 3), quant),))
    assert str(caught.value) == text
