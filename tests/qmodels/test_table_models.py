"""Whole models with the fixed grids of post-training methods: the simulator's codes are the model's own, all of them."""

import dataclasses

import pytest
import torch

from hwsim.ops.quantize import Quantize
from hwsim.spec import QuantSpec, ShiftSpec
from qmodels import builder, calibrate, data, models
from qmodels import method as methods
from qmodels.layers.quant_linear import QuantLinear
from qmodels.method import Slot
from qmodels.tracing import trace
from qmodels.verification import verify
from workloads.bits import Bits

pytestmark = pytest.mark.slow

UNIFORM = Slot("uniform", False)


@pytest.fixture(scope="module")
def digits():
    images, labels = data.digits("test")
    return images[:4], labels[:4]


def _model(bits, images, **slots):
    """The trained float model with post-training quantizers: asymmetric weights per output channel, asymmetric inputs."""
    base = dataclasses.replace(methods.find("lsq"), weights=UNIFORM, inputs=UNIFORM, qkv=UNIFORM, softmax=UNIFORM)
    model = models.create("digits_deit")
    model.load_state_dict(builder.build("digits_float").state_dict())
    models.quantize(model, bits, dataclasses.replace(base, **slots))
    for module in model.modules():
        if isinstance(module, QuantLinear) and type(module.input_quantizer).__name__ == "Noisy":
            module.input_quantizer.set_noise(torch.rand(module.in_features) - 0.5)
    return calibrate.calibrate(model, images)


CASES = {
    **{name: {"softmax": Slot(name, False)} for name in ("log2", "logsqrt2", "sulq", "twin_uniform")},
    "sulq per head": {"softmax": Slot("sulq", False), "per_head": True},
    "twin_sign": {"gelu": Slot("twin_sign", False)},
    "noisy": {"inputs": Slot("noisy", False)},
    "noisy signed": {"inputs": Slot("noisy", True), "weights": Slot("uniform", True)},
    "weights per tensor": {"weights": Slot("uniform", True), "weights_per_tensor": True},
}


WIDTHS = [(name, 4) for name in CASES] + [("log2", 8), ("logsqrt2", 6), ("sulq", 8), ("sulq", 3), ("twin_sign", 8)]


@pytest.mark.parametrize(("case", "bits"), WIDTHS)
def test_no_code_differs(digits, case, bits):
    slots = CASES[case]
    model = _model(Bits(bits, bits), digits[0], **slots)
    graph = trace(model, digits[0], "digits")
    report = verify(model, graph, *digits)
    assert report.compared("free_running") > 10**5
    assert report.mismatched("node_by_node") == report.mismatched("free_running") == 0
    assert report.agreeing == 4
    tables = {
        node.name for node in graph.nodes if isinstance(node.op, Quantize) and isinstance(node.op.spec, ShiftSpec)
    }
    kind = "mlp.fc2.input" if "gelu" in slots else "attn.av.a"
    is_table = "gelu" in slots or getattr(slots.get("softmax"), "quantizer", "uniform") != "uniform"
    assert tables == ({f"blocks.{i}.{kind}" for i in range(4)} if is_table else set())


def test_weights_may_have_a_zero_point_per_output_channel(digits):
    graph = trace(_model(Bits(4, 4), digits[0]), digits[0], "digits")
    weights = graph.specs["blocks.0.mlp.fc1.weight"].quant
    assert isinstance(weights, QuantSpec)
    assert (weights.signed, weights.axis, len(weights.zero_point)) == (False, 0, 192)
    assert len(set(weights.zero_point)) > 3


def test_float32_differs_in_few_codes(digits):
    model = _model(Bits(4, 4), digits[0], softmax=Slot("sulq", False), gelu=Slot("twin_sign", False))
    report = verify(model, trace(model, digits[0]), *digits, dtype=torch.float32)
    assert report.mismatched("node_by_node") < report.compared("node_by_node") / 1000
