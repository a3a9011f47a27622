import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import IllegalModel
from hwsim.op import Action
from hwsim.ops.matmul import MatMul
from hwsim.spec import QuantSpec, TensorSpec


@given(
    data=st.data(),
    sizes=st.tuples(*[st.integers(1, 6)] * 3),
    lead=st.sampled_from(((1,), (2,), (1, 3), (4, 2))),
    images=st.integers(1, 3),
)
def test_per_tensor_and_per_head(draw, exact, apply, data, sizes, lead, images):
    m, k, n = sizes
    head = st.sampled_from((None, 1)) if len(lead) == 2 else st.none()
    a, a_spec = draw.tensor(data, (*lead, m, k), images=images, axis=data.draw(head))
    b, b_spec = draw.tensor(data, (*lead, k, n), images=images, axis=data.draw(head))
    acc, out = apply(MatMul(), (a, a_spec), (b, b_spec))
    wanted = np.matmul(exact(a, a_spec), exact(b, b_spec))
    assert acc.dtype == np.int32
    np.testing.assert_array_equal(acc.astype(object), wanted)
    assert out.quant.qmin <= wanted.min() <= wanted.max() <= out.quant.qmax
    reals = np.matmul(a_spec.quant.to_real(a), b_spec.quant.to_real(b))
    np.testing.assert_allclose(out.quant.to_real(acc), reals, rtol=1e-9, atol=1e-9)


@given(data=st.data(), constant=st.sampled_from((0, 1)), heads=st.integers(1, 3))
def test_a_constant_serves_every_image(draw, exact, apply, data, constant, heads):
    shapes = ((1, heads, 2, 3), (1, heads, 3, 4))
    operands = [draw.tensor(data, shape, batched=i != constant, images=3) for i, shape in enumerate(shapes)]
    acc, out = apply(MatMul(), *operands)
    assert out.batched
    np.testing.assert_array_equal(acc.astype(object), np.matmul(*(exact(*operand) for operand in operands)))


def test_floats(apply, floats):
    a, b = np.random.default_rng(0).normal(size=(2, 2, 3, 4, 4))
    value, _ = apply(MatMul(), floats(a), floats(b))
    np.testing.assert_array_equal(value, np.matmul(a, b))


def test_cost_of_run_time_zero_points():
    a = TensorSpec((1, 3, 2, 5), QuantSpec(4, False, (1.0,), (3,)))
    b = TensorSpec((1, 3, 5, 4), QuantSpec(8, True, (1.0,)))
    counted = MatMul().count((a, b), MatMul().infer((a, b)))
    assert counted == {Action("mac", 4, 8): 120, Action("add", 8, 32): 60, Action("add", 32, 32): 24}


GRID = QuantSpec(4, False, (1.0,))
REDUCTION = (
    "a scale along the reduction axis cannot be factored out of an integer sum, got {}; use a per-tensor scale, or fold "
    "the scales into the weights or the preceding LayerNorm (scale reparametrization)"
)


def per_channel(axis):
    return QuantSpec(4, False, (1.0, 2.0), (0, 0), axis)


@pytest.mark.parametrize(
    ("a", "b", "text"),
    [
        (
            TensorSpec((1, 2, 2), per_channel(2)),
            TensorSpec((1, 2, 2), GRID),
            REDUCTION.format("(B, 2, 2) u4 per_channel(axis=2, n=2)"),
        ),
        (
            TensorSpec((1, 2, 2), GRID),
            TensorSpec((1, 2, 2), per_channel(1)),
            REDUCTION.format("(B, 2, 2) u4 per_channel(axis=1, n=2)"),
        ),
        (
            TensorSpec((1, 2, 2), per_channel(1)),
            TensorSpec((1, 2, 2), per_channel(2)),
            "operands with channels along different axes need a scale matrix, got (B, 2, 2) u4 per_channel(axis=1, n=2) "
            "and (B, 2, 2) u4 per_channel(axis=2, n=2); quantize one per tensor",
        ),
        (
            TensorSpec((1, 2, 3)),
            TensorSpec((1, 2, 3)),
            "the summed axes must agree, 3 here, got (B, 2, 3) float; transpose one",
        ),
        (
            TensorSpec((1, 2, 3)),
            TensorSpec((2, 3, 3)),
            "leading axes must agree, got (B, 2, 3) float and (2B, 3, 3) float; reshape one",
        ),
        (
            TensorSpec((1, 3)),
            TensorSpec((3, 3)),
            "the batch must be a leading axis, got (B, 3) float and (3B, 3) float; reshape one",
        ),
        (
            TensorSpec((2, 2, 3)),
            TensorSpec((2, 3, 3), batched=False),
            "a constant has no batch: its leading axis must be 1, got (2B, 2, 3) float and (2, 3, 3) float; reshape the "
            "other operand",
        ),
    ],
)
def test_illegal(a, b, text):
    with pytest.raises(IllegalModel) as caught:
        MatMul().infer((a, b))
    assert str(caught.value) == text
