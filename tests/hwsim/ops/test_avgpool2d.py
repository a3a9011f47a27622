import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from hwsim.errors import IllegalModel
from hwsim.op import Action
from hwsim.ops.avgpool2d import AvgPool2d
from hwsim.spec import QuantSpec, TensorSpec

PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))


@given(
    kernel=PAIRS,
    stride=PAIRS,
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    ceil=st.booleans(),
    count=st.booleans(),
    data=st.data(),
)
def test_floats_equal_torch(apply, floats, kernel, stride, size, ceil, count, data):
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    assume(all(n + 2 * p >= k for n, p, k in zip(size, padding, kernel, strict=True)))
    x = np.random.default_rng(data.draw(st.integers(0))).normal(size=(2, 3, *size))
    value, out = apply(AvgPool2d(kernel, stride, padding, ceil, count), floats(x))
    wanted = torch.nn.functional.avg_pool2d(torch.from_numpy(x), kernel, stride, padding, ceil, count)
    np.testing.assert_allclose(value, wanted.numpy(), rtol=1e-14, atol=1e-15)
    assert value.shape == (2, *out.shape[1:])


@given(kernel=PAIRS, data=st.data(), axis=st.sampled_from((None, 1)), scale=st.floats(0.01, 1))
def test_codes_are_summed_exactly(apply, kernel, data, axis, scale):
    """S10, against the mean of the reals: the divisor is in the scale."""
    size = tuple(k * data.draw(st.integers(1, 3)) for k in kernel)
    scales = (scale, 2 * scale) if axis else (scale,)
    spec = TensorSpec((1, 2, *size), QuantSpec(6, True, scales, (0,) * len(scales), axis))
    x = np.random.default_rng(data.draw(st.integers(0))).integers(-32, 32, (3, 2, *size)).astype(np.int8)
    codes, out = apply(AvgPool2d(kernel, kernel), (x, spec))
    blocks = x.reshape(3, 2, size[0] // kernel[0], kernel[0], size[1] // kernel[1], kernel[1]).astype(int)
    np.testing.assert_array_equal(codes, blocks.sum((3, 5)))
    assert codes.dtype == out.quant.container
    assert out.quant.qmin <= codes.min() <= codes.max() <= out.quant.qmax
    means, _ = apply(AvgPool2d(kernel, kernel), (spec.quant.to_real(x), TensorSpec(spec.shape)))
    np.testing.assert_allclose(out.quant.to_real(codes), means, rtol=1e-12, atol=1e-12)


def test_adds_are_of_what_is_in_the_image():
    x = TensorSpec((1, 5, 4, 4))
    op = AvgPool2d((3, 3), (2, 2), (1, 1))
    assert op.count((x,), op.infer((x,))) == {Action("add", 32, 32): 5 * (2 + 3) ** 2, Action("div", 32, 32): 20}
    codes = TensorSpec((1, 5, 4, 4), QuantSpec(4, True, (0.5,)))
    out = op.infer((codes,))
    assert op.count((codes,), out) == {Action("add", 4, 8): 5 * (2 + 3) ** 2}
    assert out.quant == QuantSpec(8, True, (0.5 / 9,))


CODES = QuantSpec(4, True, (1.0,))


@pytest.mark.parametrize(
    ("op", "quant", "text"),
    [
        (
            AvgPool2d((2, 2), (2, 2)),
            QuantSpec(4, False, (1.0,), (3,)),
            "a mean of codes takes affine ones with zero_point 0, got (B, 2, 4, 5) u4 per_tensor scale=1 zero_point=3; "
            "requantize it before",
        ),
        (
            AvgPool2d((2, 2), (2, 2)),
            QuantSpec(4, True, (1.0,) * 4, (0,) * 4, 2),
            "codes that are summed have one scale, got (B, 2, 4, 5) s4 per_channel(axis=2, n=4); requantize it per tensor",
        ),
        (
            AvgPool2d((2, 2), (2, 2), ceil=True),
            CODES,
            "windows of codes have one divisor, got AvgPool2d(kernel=(2, 2), stride=(2, 2), padding=(0, 0), ceil=True, "
            "count_padding=True); count the padding, or choose sizes that fill the windows",
        ),
        (
            AvgPool2d((4, 4), (1, 1)),
            QuantSpec(30, True, (1.0,)),
            "the sum needs 34 bits, got 32; lower the bits of the operand",
        ),
    ],
)
def test_codes_that_have_no_exact_mean(op, quant, text):
    with pytest.raises(IllegalModel) as caught:
        op.infer((TensorSpec((1, 2, 4, 5), quant),))
    assert str(caught.value) == text
