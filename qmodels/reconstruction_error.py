"""How much of real values a grid loses, quantizer by quantizer: the study of grids before any accuracy.

The error is relative and squared: sum (x - Q(x))^2 / sum x^2 over all values, with what an offset of the grid moved back. It
says nothing of what a network makes of it: noise that a product averages away and bias that it adds up count alike.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from qmodels.fake_quantize import along
from qmodels.quantizer import Quantizer


@torch.no_grad()
def errors(values: Tensor, quantizers: Mapping[str, Quantizer]) -> dict[str, float]:
    """The error of each of `quantizers` on `values`, on which each is calibrated before; 0 where all values are 0."""
    power = values.square().sum(dtype=torch.float64).item()
    found = {}
    for name, quantizer in quantizers.items():
        quantizer.initialise(values)
        found[name] = (_real(quantizer, values) - values).square().sum(dtype=torch.float64).item() / (power or 1.0)
    return found


def _real(quantizer: Quantizer, x: Tensor) -> Tensor:
    """`x` on the grid, its offset included."""
    offset = quantizer.graded_offset(x)
    on_grid: Tensor = quantizer(x)
    return on_grid if offset is None else on_grid + along(offset, x, quantizer.axis)
