import numpy as np
import torch

from hwsim.ops.logintsoftmax import LogIntSoftmax
from hwsim.spec import QuantSpec, TensorSpec
from qmodels.quantizer import make


def test_its_codes_are_those_of_the_leading_one_of_the_inverse_and_the_bit_behind():
    lis = make("lis", 4, signed=False)
    lis.initialise(torch.rand(2, 9))
    p = torch.rand(4000, dtype=torch.float64)[:, None] ** torch.arange(1, 12)
    inverse = 1 / p
    leading = inverse.log2().floor()
    behind = (inverse * 2 ** (1 - leading)).floor() % 2  # the bit behind the leading one
    assert torch.equal(lis.double().codes(p), (leading + behind).clamp(max=15).int())


def test_it_is_the_grid_that_the_integer_operator_makes():
    lis = make("lis", 4, signed=False)
    lis.initialise(torch.rand(2, 9))
    scores = TensorSpec((1, 9), QuantSpec(12, True, (0.05,)))
    assert lis.spec() == LogIntSoftmax.lower(scores, 4).infer((scores,)).quant


def test_its_grid_does_not_depend_on_the_sample():
    spec = make("lis", 4, signed=False).spec()
    for sample in (torch.full((2, 9), 0.01), torch.zeros(2, 9), 3 * torch.rand(2, 9)):
        lis = make("lis", 4, signed=False)
        lis.initialise(sample)
        assert lis.calibrated
        assert lis.spec() == spec
    assert spec.scale == (2.0**-14,)
    assert np.array_equal(spec.values(), [*(2 ** (14 - c) for c in range(15)), 0])
