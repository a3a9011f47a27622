import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import IllegalModel
from hwsim.op import Action
from hwsim.ops.linear import Linear
from hwsim.spec import BipolarSpec, QuantSpec, TensorSpec


@given(data=st.data(), k=st.integers(1, 9), n=st.integers(1, 9), lead=st.sampled_from(((1,), (3,), (1, 5), (2, 1, 2))))
def test_equals_unbounded_integers(draw, exact, apply, data, k, n, lead):
    x, x_spec = draw.tensor(data, (*lead, k), images=data.draw(st.integers(1, 3)))
    w, w_spec = draw.tensor(data, (n, k), batched=False, axis=data.draw(st.sampled_from((None, 0))))
    acc, out = apply(Linear(), (x, x_spec), (w, w_spec))
    wanted = np.matmul(exact(x, x_spec), exact(w, w_spec).T)
    assert acc.dtype == np.int32
    np.testing.assert_array_equal(acc.astype(object), wanted)
    assert out.quant.qmin <= wanted.min() <= wanted.max() <= out.quant.qmax
    reals = np.matmul(x_spec.quant.to_real(x), w_spec.quant.to_real(w).T)
    np.testing.assert_allclose(out.quant.to_real(acc), reals, rtol=1e-9, atol=1e-9)


@given(data=st.data(), channel=st.integers(1, 4))
def test_a_scale_per_row_of_the_activation_stays_outside_the_sum(draw, apply, data, channel):
    """Per head, say: channels along an axis that is not summed over."""
    x, x_spec = draw.tensor(data, (1, channel, 3, 5), axis=1, images=2)
    w, w_spec = draw.tensor(data, (4, 5), batched=False)
    acc, out = apply(Linear(), (x, x_spec), (w, w_spec))
    assert out.quant.axis == 1
    np.testing.assert_allclose(
        out.quant.to_real(acc), x_spec.quant.to_real(x) @ w_spec.quant.to_real(w).T, rtol=1e-9, atol=1e-9
    )


def test_bipolar_weights(apply):
    x = np.array([[0, 3, 1], [2, 2, 0]], np.int8)
    w = np.array([[1, -1, 1], [-1, -1, -1]], np.int8)
    grid = QuantSpec(2, False, (0.5,), (1,))
    acc, out = apply(
        Linear(),
        (x, TensorSpec((1, 3), grid)),
        (w, TensorSpec((2, 3), BipolarSpec((0.25, 2.0), axis=0), batched=False)),
    )
    assert acc.tolist() == [[-3, -1], [-1, -1]]
    assert (out.quant.bits, out.quant.scale, out.quant.axis) == (4, (0.125, 1.0), 1)  # -6..6


@given(data=st.data(), depth=st.integers(1, 300), channels=st.integers(1, 3))
def test_the_width_is_reached_and_never_exceeded(draw, data, apply, depth, channels):
    """All-extreme operands, every combination: their sums need all the proven bits, and no more."""
    x_spec = TensorSpec((1, depth), draw.grid(data))
    w_spec = TensorSpec((channels, depth), draw.grid(data, None, 0, channels), batched=False)
    sums, grids = [0], (x_spec.quant, w_spec.quant)
    for a in (grids[0].qmin, grids[0].qmax):
        for b in (grids[1].qmin, grids[1].qmax):
            x = np.full((1, depth), a, grids[0].container)
            w = np.full((channels, depth), b, grids[1].container)
            acc, out = apply(Linear(), (x, x_spec), (w, w_spec))
            sums += acc.ravel().tolist()
    bits = out.quant.bits
    assert -(2 ** (bits - 1)) <= min(sums) <= max(sums) < 2 ** (bits - 1)
    assert bits == 1 or not (-(2 ** (bits - 2)) <= min(sums) <= max(sums) < 2 ** (bits - 2))


@given(data=st.data(), k=st.integers(1, 9), n=st.integers(1, 9), side=st.integers(0, 2))
def test_codes_that_are_not_uniform(draw, exact, apply, data, k, n, side):
    """S14: of the activation (0) by shifting, of the weight (1) by table, or of both (2)."""
    x_spec = TensorSpec((1, 3, k), draw.grid(data) if side == 1 else draw.shift_grid(data))
    w_spec = TensorSpec((n, k), draw.grid(data) if side == 0 else draw.shift_grid(data, 0, n), batched=False)
    x, w = draw.codes(data, x_spec, 2), draw.codes(data, w_spec)
    acc, out = apply(Linear(), (x, x_spec), (w, w_spec))
    wanted = np.matmul(exact(x, x_spec), exact(w, w_spec).T)
    np.testing.assert_array_equal(acc.astype(object), wanted)
    assert out.quant.qmin <= wanted.min() <= wanted.max() <= out.quant.qmax
    np.testing.assert_allclose(
        out.quant.to_real(acc), x_spec.quant.to_real(x) @ w_spec.quant.to_real(w).T, rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("bits", [16, 31, 32])
def test_wide_operands(apply, bits):
    """u16 with zero point 2**15 centres to int16, though neither its codes nor the zero point are int16."""
    grid = QuantSpec(bits, False, (1.0,), (1 << (bits - 1),))
    x = np.array([[0, grid.qmax, 1 << (bits - 1)]], grid.container)
    w_spec = TensorSpec((3, 3), QuantSpec(1, False, (1.0,)), batched=False)
    if bits == 32:
        w_spec = TensorSpec((1, 1), w_spec.quant, batched=False)
        x = x[:, :1]
    w = np.eye(w_spec.shape[0], dtype=np.int8)
    bounded = bits < 31 or w_spec.shape == (1, 1)
    if not bounded:
        with pytest.raises(IllegalModel, match=r"^accumulator needs 33 bits, got 32; lower the bits of an operand$"):
            Linear().infer((TensorSpec((1, 3), grid), w_spec))
        return
    acc, _ = apply(Linear(), (x, TensorSpec((1, w_spec.shape[1]), grid)), (w, w_spec))
    assert acc.tolist() == (x.astype(object) - grid.zero_point[0]).tolist()


@given(seed=st.integers(0), images=st.integers(1, 5))
def test_float_product_of_an_image_does_not_depend_on_the_others(apply, floats, seed, images):
    generator = np.random.default_rng(seed)
    x, w = floats(generator.normal(size=(images, 67))), floats(generator.normal(size=(33, 67)), batched=False)
    together, out = apply(Linear(), x, w)
    assert out.quant is None
    alone = [apply(Linear(), (x[0][i : i + 1], x[1]), w)[0] for i in range(images)]
    np.testing.assert_array_equal(together, np.concatenate(alone))
    np.testing.assert_allclose(together, x[0] @ w[0].T, rtol=1e-11, atol=1e-12)


def test_a_float_and_codes_are_a_float_island(apply, floats, draw):
    w = np.array([[1, -2]], np.int8), TensorSpec((1, 2), QuantSpec(4, True, (0.5,), (1,)), batched=False)
    value, out = apply(Linear(), floats([[[3.0, 5.0]]]), w)
    assert (value.tolist(), out.quant) == ([[[-7.5]]], None)


def test_cost():
    x = TensorSpec((1, 6, 5), QuantSpec(4, False, (1.0,), (3,)))
    w = TensorSpec((7, 5), QuantSpec(2, True, (1.0,), (-1,)), batched=False)
    counted = Linear().count((x, w), Linear().infer((x, w)))
    assert counted == {Action("mac", 4, 2): 210, Action("add", 4, 32): 30, Action("add", 32, 32): 84}


@pytest.mark.parametrize(
    ("x", "weight", "text"),
    [
        (
            TensorSpec((1, 4)),
            TensorSpec((3, 5), batched=False),
            "inputs must have 5 features, got (B, 4) float; check the layer",
        ),
        (TensorSpec((1, 4)), TensorSpec((1, 4)), "a weight is a constant (N, K), got (B, 4) float; use matmul"),
        (
            TensorSpec((4,)),
            TensorSpec((3, 4), batched=False),
            "features need an axis of their own, got (4B) float; reshape it",
        ),
        (
            TensorSpec((1, 2), QuantSpec(4, False, (1.0, 2.0), (0, 0), 1)),
            TensorSpec((3, 2), QuantSpec(4, True, (1.0,)), batched=False),
            "a scale along the reduction axis cannot be factored out of an integer sum, got (B, 2) u4 "
            "per_channel(axis=1, n=2); use a per-tensor scale, fold the scales into the preceding LayerNorm and "
            "the weights (scale reparametrization, `hwsim trace --fold-input-scales`), shift by factors that are powers "
            "of two, or sum a few groups of channels apart",
        ),
        (
            TensorSpec((1, 2), QuantSpec(4, False, (1.0,))),
            TensorSpec((3, 2), QuantSpec(4, True, (1.0, 2.0), (0, 0), 1), batched=False),
            "a scale along the reduction axis cannot be factored out of an integer sum, got (3, 2) s4 "
            "per_channel(axis=1, n=2); use a per-tensor scale, fold the scales into the preceding LayerNorm and "
            "the weights (scale reparametrization, `hwsim trace --fold-input-scales`), shift by factors that are powers "
            "of two, or sum a few groups of channels apart",
        ),
        (
            TensorSpec((1, 2, 2), QuantSpec(4, False, (1.0, 2.0), (0, 0), 1)),
            TensorSpec((2, 2), QuantSpec(4, True, (1.0, 2.0), (0, 0), 0), batched=False),
            "operands with channels along different axes need a scale matrix, got (B, 2, 2) u4 "
            "per_channel(axis=1, n=2) and (2, 2) s4 per_channel(axis=0, n=2); quantize one per tensor",
        ),
    ],
)
def test_illegal(x, weight, text):
    with pytest.raises(IllegalModel) as caught:
        Linear().infer((x, weight))
    assert str(caught.value) == text
