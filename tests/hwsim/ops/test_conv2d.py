import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import IllegalModel
from hwsim.op import Action
from hwsim.ops.conv2d import Conv2d
from hwsim.spec import QuantSpec, TensorSpec


def naive(image, kernel, stride, padding, groups, dilation):
    """Python integers, index by index; padding holds zeros."""
    (batch, _, high, wide), (filters, depth, tall, broad) = image.shape, kernel.shape
    rows, columns = (
        (s + 2 * p - d * (w - 1) - 1) // t + 1
        for s, p, w, t, d in zip((high, wide), padding, (tall, broad), stride, dilation, strict=True)
    )
    out = np.zeros((batch, filters, rows, columns), dtype=object)
    for b, f, i, j in np.ndindex(*out.shape):
        first = f // (filters // groups) * depth
        for c, u, v in np.ndindex(depth, tall, broad):
            y, x = i * stride[0] + u * dilation[0] - padding[0], j * stride[1] + v * dilation[1] - padding[1]
            if 0 <= y < high and 0 <= x < wide:
                out[b, f, i, j] += image[b, first + c, y, x] * kernel[f, c, u, v]
    return out


@given(
    data=st.data(),
    groups=st.integers(1, 3),
    depth=st.integers(1, 2),
    filters=st.integers(1, 2),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    extra=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
def test_equals_unbounded_integers_and_torch(
    draw, exact, apply, data, groups, depth, filters, kernel, extra, stride, padding, dilation
):
    size = tuple(d * (k - 1) + 1 + e for k, e, d in zip(kernel, extra, dilation, strict=True))
    x, x_spec = draw.tensor(data, (1, groups * depth, *size), images=2)
    w, w_spec = draw.tensor(
        data, (groups * filters, depth, *kernel), batched=False, axis=data.draw(st.sampled_from((None, 0)))
    )
    op = Conv2d(stride, padding, groups, dilation)
    acc, out = apply(op, (x, x_spec), (w, w_spec))
    image, weights = exact(x, x_spec), exact(w, w_spec)
    assert acc.dtype == np.int32
    np.testing.assert_array_equal(acc.astype(object), naive(image, weights, stride, padding, groups, dilation))
    torches = [torch.from_numpy(value.astype(np.float64)) for value in (image, weights)]
    wanted = torch.nn.functional.conv2d(*torches, None, stride, padding, dilation, groups)
    np.testing.assert_array_equal(acc, wanted.numpy())
    assert out.quant.qmin <= acc.min() <= acc.max() <= out.quant.qmax
    assert acc.shape == (2, *out.shape[1:])
    assert op.gemm((x_spec, w_spec), out).macs == out.elements * depth * kernel[0] * kernel[1]


@given(seed=st.integers(0), images=st.integers(1, 4), groups=st.sampled_from((1, 2)))
def test_floats(apply, floats, seed, images, groups):
    generator = np.random.default_rng(seed)
    x, w = (
        floats(generator.normal(size=(images, 6, 9, 9))),
        floats(generator.normal(size=(4, 6 // groups, 4, 4)), batched=False),
    )
    op = Conv2d((3, 2), (1, 0), groups)
    value, _ = apply(op, x, w)
    wanted = torch.nn.functional.conv2d(torch.from_numpy(x[0]), torch.from_numpy(w[0]), None, (3, 2), (1, 0), 1, groups)
    np.testing.assert_allclose(value, wanted.numpy(), rtol=1e-11, atol=1e-12)
    alone = [apply(op, (x[0][i : i + 1], x[1]), w)[0] for i in range(images)]
    np.testing.assert_array_equal(value, np.concatenate(alone))


@given(data=st.data(), side=st.integers(0, 2), groups=st.sampled_from((1, 2)))
def test_codes_that_are_not_uniform(draw, exact, apply, data, side, groups):
    """S14, by table: of the image (0), the kernel (1) or both (2), against one product per place."""
    x_spec = TensorSpec((1, 2, 4, 3), draw.grid(data) if side == 1 else draw.shift_grid(data))
    w_grid = draw.grid(data) if side == 0 else draw.shift_grid(data, 0, 4)
    w_spec = TensorSpec((4, 2 // groups, 2, 2), w_grid, batched=False)
    x, w = draw.codes(data, x_spec, 2), draw.codes(data, w_spec)
    acc, out = apply(Conv2d(groups=groups), (x, x_spec), (w, w_spec))
    image, kernel = exact(x, x_spec), exact(w, w_spec)
    for (b, o, i, j), value in np.ndenumerate(acc):
        first = (o * groups // 4) * (2 // groups)
        patch = image[b, first : first + 2 // groups, i : i + 2, j : j + 2]
        assert value == (patch * kernel[o]).sum()
    assert out.quant.qmin <= acc.min() <= acc.max() <= out.quant.qmax


def test_padding_is_real_zero(apply):
    """Codes equal to the zero point, not codes 0."""
    x = np.full((1, 1, 1, 1), 9, np.uint8), TensorSpec((1, 1, 1, 1), QuantSpec(4, False, (1.0,), (9,)))
    w = np.ones((1, 1, 3, 3), np.int8), TensorSpec((1, 1, 3, 3), QuantSpec(4, True, (1.0,)), batched=False)
    acc, _ = apply(Conv2d((1, 1), (1, 1)), x, w)
    assert acc.tolist() == [[[[0]]]]


def test_cost_of_a_patch_embedding():
    x = TensorSpec((1, 3, 8, 8), QuantSpec(8, False, (1.0,), (5,)))
    w = TensorSpec((16, 3, 4, 4), QuantSpec(8, True, (1.0,)), batched=False)
    out = Conv2d((4, 4)).infer((x, w))
    assert out.shape == (1, 16, 2, 2)
    assert Conv2d((4, 4)).count((x, w), out) == {Action("mac", 8, 8): 4 * 48 * 16, Action("add", 32, 32): 64}


IMAGE, KERNEL = TensorSpec((1, 4, 5, 5)), TensorSpec((2, 4, 3, 3), batched=False)


@pytest.mark.parametrize(
    ("op", "x", "weight", "text"),
    [
        (
            Conv2d(),
            TensorSpec((1, 4, 5)),
            KERNEL,
            "an image has 4 axes, got (B, 4, 5) float; reshape",
        ),
        (Conv2d(), IMAGE, TensorSpec((2, 4, 3), batched=False), "a kernel has 4 axes, got (2, 4, 3) float; reshape"),
        (Conv2d(groups=2), IMAGE, KERNEL, "the image must have 8 channels, got (B, 4, 5, 5) float; check the layer"),
        (
            Conv2d(),
            IMAGE,
            TensorSpec((2, 4, 6, 3), batched=False),
            "the kernel must fit the padded image, got (B, 4, 5, 5) float and (6, 3); enlarge the image or padding",
        ),
        (
            Conv2d(groups=2),
            IMAGE,
            TensorSpec((3, 2, 3, 3), batched=False),
            "groups must divide the channels, got Conv2d(stride=(1, 1), padding=(0, 0), groups=2, dilation=(1, 1)); "
            "check the layer",
        ),
        (
            Conv2d(stride=(0, 1)),
            IMAGE,
            KERNEL,
            "kernel, stride and dilation are 1 or more and padding 0 or more, got kernel (3, 3), stride (0, 1), padding "
            "(0, 0) and dilation (1, 1); check the layer",
        ),
    ],
)
def test_illegal(op, x, weight, text):
    with pytest.raises(IllegalModel) as caught:
        op.infer((x, weight))
    assert str(caught.value) == text


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1), (0, 1, 3, 2), (3, 2, 1, 0)])
@pytest.mark.parametrize("kernel", [(1, 1), (1, 4), (4, 1), (3, 5)])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float64])
def test_any_layout_of_images(apply, order, kernel, kind):
    """Elements of a patch are moved one by one, or those of its rows at once."""
    generator = np.random.default_rng(0)
    x = generator.integers(0, 100, (3, 4, 9, 11)).astype(kind)
    lying = np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))
    weight = generator.integers(-8, 8, (2, 4, *kernel)).astype(np.float64 if kind is np.float64 else np.int8)
    quant = None if kind is np.float64 else QuantSpec(x.itemsize * 8, kind is np.int16, (1.0,))
    w_spec = TensorSpec(weight.shape, None if kind is np.float64 else QuantSpec(4, True, (1.0,)), batched=False)
    for op in (Conv2d((2, 1), (1, 0)), Conv2d((1, 1), (0, 2), dilation=(1, 2)), Conv2d((4, 3))):
        got, _ = apply(op, (lying, TensorSpec((1, *x.shape[1:]), quant)), (weight, w_spec))
        inputs = (torch.from_numpy(v.astype(np.float64)) for v in (x, weight))
        wanted = torch.nn.functional.conv2d(*inputs, None, op.stride, op.padding, op.dilation)
        np.testing.assert_array_equal(got, wanted.numpy())
