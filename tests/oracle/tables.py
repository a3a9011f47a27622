"""What tests of quantizers of tables share: their names, each width that they define, values to calibrate on."""

import torch
from torch import nn

from hwsim import catalog
from qmodels.quantizer import make
from qmodels.shift_quantizer import ShiftQuantizer

TABLES = [
    name
    for name in catalog.names("qmodels.quantizers")
    if issubclass(catalog.find("qmodels.quantizers", name), ShiftQuantizer)
]
CASES = [(n, b) for n in TABLES for b in range(1, 9) if b >= catalog.find("qmodels.quantizers", n).least]


def softmax(*shape):
    return torch.softmax(3 * torch.randn(*shape), -1)


def sample(name):
    return nn.functional.gelu(2 * torch.randn(8, 20, 96)) if name == "twin_sign" else softmax(2, 3, 65, 65)


def calibrated(name, bits, **options):
    quantizer = make(name, bits, signed=False, **options)
    quantizer.initialise(sample(name))
    return quantizer
