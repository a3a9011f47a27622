import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import IllegalModel
from hwsim.grids.log2 import log2
from hwsim.grids.sulq import sulq
from hwsim.grids.twinuniform import twinuniform
from hwsim.op import Action
from hwsim.ops.matmul import MatMul
from hwsim.spec import QuantSpec, ShiftSpec, TensorSpec


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


@given(data=st.data(), sizes=st.tuples(*[st.integers(1, 6)] * 3), images=st.integers(1, 2), side=st.integers(0, 2))
def test_codes_that_are_not_uniform(draw, exact, apply, data, sizes, images, side):
    """S14: on the left (0) by shifting, on the right (1) by table, or on both sides (2); scales may be per head."""
    m, k, n = sizes
    head = data.draw(st.sampled_from((None, 1)))
    operands = []
    for i, shape in enumerate(((1, 3, m, k), (1, 3, k, n))):
        grid = draw.shift_grid(data, head, 3) if side in (i, 2) else draw.grid(data, None, head, 3)
        spec = TensorSpec(shape, grid)
        operands.append((draw.codes(data, spec, images), spec))
    acc, out = apply(MatMul(), *operands)
    wanted = np.matmul(*(exact(*operand) for operand in operands))
    np.testing.assert_array_equal(acc.astype(object), wanted)
    assert out.quant.qmin <= wanted.min() <= wanted.max() <= out.quant.qmax
    reals = np.matmul(*(spec.quant.to_real(codes) for codes, spec in operands))
    np.testing.assert_allclose(out.quant.to_real(acc), reals, rtol=1e-9, atol=1e-9)
    codes, specs = zip(*operands, strict=True)
    np.testing.assert_array_equal(MatMul().product(codes, specs, lambda a, b: np.matmul(a.astype(np.int64), b)), acc)


def test_worked_example_of_the_shift_product(apply):
    """S14: probabilities 1, 1/4, 0 (codes 0, 2, 3) of v = 5, -3, 7, in quarters: (5 << 2) + (-3 << 0) = 17."""
    a = np.array([[[0, 2, 3]]], np.uint8), TensorSpec((1, 1, 3), log2(2))
    v = np.array([[[5], [-3], [7]]], np.int8), TensorSpec((1, 3, 1), QuantSpec(8, True, (0.5,)))
    acc, out = apply(MatMul(), a, v)
    assert (acc.tolist(), out.quant.to_real(acc).tolist()) == ([[[17]]], [[[17 / 4 * 0.5]]])
    a = np.array([[[0, 2, 7]]], np.uint8), TensorSpec((1, 1, 3), sulq(3))
    acc, _ = apply(MatMul(), a, v)  # (5 << 7) + (-3 << 5) + (7 << 0) - 1 * (5 - 3 + 7)
    assert acc.tolist() == [[[640 - 96 + 7 - 9]]]


@pytest.mark.parametrize(
    ("grid", "v_bits", "bits"),
    [
        (log2(4), 8, 30),  # 197 * 2**14 * 128 = 2**28.6
        (log2(4, zero=False), 8, 31),  # 197 * 2**15 * 128 = 2**29.6
        (log2(5), 8, 46),
        (sulq(4), 8, 31),
        (sulq(3, eta=127), 8, 23),
        (twinuniform(8, m=3), 8, 26),
    ],
)
def test_the_width_of_197_terms(grid, v_bits, bits):
    a = TensorSpec((1, 6, 197, 197), grid)
    v = TensorSpec((1, 6, 197, 64), QuantSpec(v_bits, True, (0.02,)))
    if bits > 32:
        with pytest.raises(IllegalModel) as caught:
            MatMul().infer((a, v))
        assert str(caught.value) == f"accumulator needs {bits} bits, got 32; lower the bits of an operand"
        return
    assert MatMul().infer((a, v)).bits == bits


def needed(grid, v, depth):
    """Bits of the shifted sum, zero times the column sum and their difference, of all-extreme operands of Python's."""
    steps = [0]
    for value in (v.qmin - v.zero_point[0], v.qmax - v.zero_point[0]):
        for significand, shift in zip(grid.significand, grid.shift, strict=True):
            shifted, constant = depth * (significand * value * 2**shift), grid.zero * value * depth
            steps += [shifted, constant, shifted - constant]
    return next(bits for bits in range(1, 99) if -(2 ** (bits - 1)) <= min(steps) <= max(steps) < 2 ** (bits - 1))


def proven(grid, v, depth):
    return MatMul().infer((TensorSpec((1, 1, depth), grid), TensorSpec((1, depth, 1), v))).bits


@given(data=st.data(), depth=st.integers(1, 40))
def test_no_step_of_a_shift_product_leaves_its_width(draw, data, depth):
    grid, v = draw.shift_grid(data), draw.grid(data)
    assert proven(grid, v, depth) == needed(grid, v, depth)


@pytest.mark.parametrize(
    ("significand", "zero", "bits"),
    [
        ((254, 256), 255, 16),  # values -1 and 1, but the shifted sum reaches 256
        ((100, 101), 200, 16),  # values and shifted sums of about 100, but zero times the column sum is 200
        ((-254, -256), -255, 17),
        ((0, 1), 0, 8),
    ],
)
def test_the_width_is_that_of_the_widest_step(significand, zero, bits):
    low, high = sorted(value - zero for value in significand)
    grid, v = ShiftSpec(1, (1.0,), significand, (0, 0), ((low + high) / 2,), zero), QuantSpec(8, True, (1.0,))
    assert proven(grid, v, 1) == needed(grid, v, 1) == bits


def test_floats(apply, floats):
    a, b = np.random.default_rng(0).normal(size=(2, 2, 3, 4, 4))
    value, _ = apply(MatMul(), floats(a), floats(b))
    np.testing.assert_array_equal(value, np.matmul(a, b))


def test_cost_of_run_time_zero_points():
    a = TensorSpec((1, 3, 2, 5), QuantSpec(4, False, (1.0,), (3,)))
    b = TensorSpec((1, 3, 5, 4), QuantSpec(8, True, (1.0,)))
    counted = MatMul().count((a, b), MatMul().infer((a, b)))
    assert counted == {Action("mac", 4, 8): 120, Action("add", 8, 32): 60, Action("add", 32, 32): 24}


def test_cost_of_the_constant_that_is_taken_off_a_shift_product():
    """One column sum of v, shared by all rows, and one subtraction per output; a log2 grid needs neither."""
    v = TensorSpec((1, 3, 5, 4), QuantSpec(8, True, (1.0,)))
    for grid, extra in ((log2(4), {}), (sulq(4), {Action("add", 8, 32): 60, Action("add", 32, 32): 24})):
        a = TensorSpec((1, 3, 2, 5), grid)
        assert MatMul().count((a, v), MatMul().infer((a, v))) == {Action("mac", 4, 8): 120, **extra}


GRID = QuantSpec(4, False, (1.0,))
REDUCTION = (
    "a scale along the reduction axis cannot be factored out of an integer sum, got {}; use a per-tensor scale, fold the "
    "scales into the preceding LayerNorm and the weights (scale reparametrization, `hwsim trace --fold-input-scales`), "
    "shift by factors that are powers of two, or sum a few groups of channels apart"
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
