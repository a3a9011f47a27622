"""Operands of 9 and 10 bits, for mixed precision around 8 bits, are multiplied exactly; what does not fit is refused."""

import numpy as np
import pytest

from hwsim.errors import IllegalModel
from hwsim.kernels import choose
from hwsim.ops._product import operand_grids
from hwsim.ops.linear import Linear
from hwsim.ops.matmul import MatMul
from hwsim.spec import QuantSpec, TensorSpec


def codes(random, grid, shape, extreme):
    drawn = (
        random.choice([grid.qmin, grid.qmax], shape) if extreme else random.integers(grid.qmin, grid.qmax + 1, shape)
    )
    return drawn.astype(grid.container)


@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [(9, 9), (10, 8), (8, 10), (10, 10)])
@pytest.mark.parametrize("depth", [48, 4096])
def test_products_are_those_of_int64(bits, signed, extreme, depth):
    random = np.random.default_rng(0)
    left = QuantSpec(bits[0], signed, (1.0,), (0 if signed else 3,))
    right = QuantSpec(bits[1], True, (1.0,))
    x, weight = codes(random, left, (2, 3, depth), extreme), codes(random, right, (5, depth), extreme)
    x[0, 0], weight[0] = left.qmax, right.qmin
    wanted = (x.astype(np.int64) - left.zero_point[0]) @ weight.astype(np.int64).T
    inputs = TensorSpec((1, 3, depth), left), TensorSpec((5, depth), right, batched=False)
    raw, *grids = operand_grids(Linear(), inputs)
    for name in choose.usable():
        tier = choose.named(name)
        if tier.takes(*grids, depth):
            packed = tier.pack(weight.T[np.newaxis], grids[1], grids[0])
            assert np.array_equal(tier.product(x.reshape(1, -1, depth), grids[0], packed)[0], wanted.reshape(-1, 5)), (
                name
            )
    assert raw
    assert np.array_equal(Linear().run((x, weight), inputs, Linear().infer(inputs)), wanted)
    inputs = inputs[0], TensorSpec((1, depth, 5), right)
    values = x, np.broadcast_to(weight.T, (2, depth, 5)).copy()
    assert np.array_equal(MatMul().run(values, inputs, MatMul().infer(inputs)), wanted)


@pytest.mark.parametrize(("signed", "fits"), [(True, 4100), (False, 2052)])
def test_a_sum_that_could_overflow_is_refused(signed, fits):
    """1023 x 512 and 1023 x 1023, fits times, stay below 2^31."""
    left, right = QuantSpec(10, False, (1.0,)), QuantSpec(10, signed, (1.0,))

    def infer(depth):
        return Linear().infer((TensorSpec((1, 3, depth), left), TensorSpec((5, depth), right, batched=False)))

    assert infer(fits).quant.bits == 32
    with pytest.raises(IllegalModel, match="accumulator needs 33 bits"):
        infer(fits + 1)
