"""One small model per mechanism that timm's vit_*, deit* and swin* have: what `benchmarks/sweep.py` compares, and values.

The MACs are those of PyTorch's FlopCounterMode; the float graph gives torch's logits; the codes of the W4A4 graph are those
of the fake-quant model, and every product is an integer one.
"""

import copy

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hwsim.cost.table import tally
from hwsim.cost.work import published_parameters, work
from hwsim.simulator import simulate
from qmodels import models, torchvision_shim  # noqa: F401 - before timm
from qmodels.calibrate import calibrate
from qmodels.quantizer import Quantizer
from qmodels.tracing import INPUT, need_quantized, trace
from qmodels.verification import verify
from workloads.bits import Bits

# isort: split
import timm

VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 1, "num_heads": 3}
WINDOWS = {"img_size": 64, "window_size": 4, "embed_dim": 24, "depths": (2, 1), "num_heads": (2, 4)}
POSITIONS = ("cpb_mlp", "meta_mlp", "rel_pos.mlp")
"""Networks that see no image."""
CASES = {  # mechanism: timm's name and changes
    "tanh GELU, pooled by attention": ("vit_base_patch16_siglip_224", VIT),
    "rotary positions, interleaved": ("vit_base_patch16_rope_224", VIT),
    "rotary positions, learned": ("vit_base_patch16_rope_mixed_224", VIT),
    "rotary positions in halves, bias of parts": ("vit_base_patch16_dinov3_qkvb", VIT),
    "SwiGLU, gates": ("vit_small_plus_patch16_dinov3", VIT),
    "heads share keys, RMSNorm, q and k normalized": (
        "vit_base_patch16_sapiens2",
        {**VIT, "embed_dim": 64, "num_heads": 4, "num_kv_heads": 2},
    ),
    "attention and MLP in parallel from one layer": ("vit_base_patch16_xp_224", VIT),
    "attentions in parallel": ("vit_small_patch16_18x2_224", VIT),
    "quick GELU, norm before": ("vit_base_patch16_clip_quickgelu_224", VIT),
    "registers, layer scale, pooled by mean": ("vit_medium_patch16_reg4_gap_256", VIT),
    "table of relative positions": ("vit_relpos_small_patch16_224", VIT),
    "norm behind the branch": ("vit_relpos_small_patch16_rpn_224", VIT),
    "cosine attention, position network": ("swinv2_tiny_window8_256", WINDOWS),
    "cosine attention, per window": ("swinv2_cr_tiny_224", WINDOWS),
    "one map off another": ("vit_dlittle_patch16_reg1_gap_256", {**VIT, "num_heads": 2}),
    "one map off another, in parallel": ("vit_dpwee_patch16_reg1_gap_256", {**VIT, "num_heads": 2}),
    "norms of its own on q and k": ("deit_tiny_patch16_224", {**VIT, "qk_norm": True}),
    "two heads": ("deit_tiny_distilled_patch16_224", VIT),
}


FIRST = tuple(CASES)[::3]
"""The others are further cases."""


@pytest.fixture(
    scope="module",
    params=[pytest.param(CASES[name], id=name, marks=() if name in FIRST else pytest.mark.slow) for name in CASES],
)
def case(request):
    """The float model with random weights everywhere, and its image size; nobody changes it."""
    name, changes = request.param
    timm.layers.set_fused_attn(False)
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=10, **changes).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # zeros and ones would hide what is left out
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model, changes["img_size"]


def test_macs_are_those_of_pytorch(case):
    model, size = case
    empty = copy.deepcopy(model).to("meta").requires_grad_(False)
    with FlopCounterMode(display=False) as counter:
        empty(torch.zeros(1, 3, size, size, device="meta"))
    bits = Bits(4, 4)
    quantized = models.quantize(empty, bits, "lsq", initialise=False, image=(3, size, size)).to("meta")
    graph = trace(quantized, torch.zeros(1, 3, size, size), "quantized")
    need_quantized(graph, bits)
    counts = counter.get_flop_counts()
    folded = sum(sum(counts[name].values()) for name in counts if name.endswith(POSITIONS))
    assert tally(graph, "macs").total * 2 == counter.get_total_flops() - folded
    assert graph.meta["folded_macs"] * 2 == folded
    assert graph.meta["parameters"] == sum(p.numel() for p in model.parameters()) == published_parameters(work(graph))


def test_floats_are_those_of_torch(case):
    model, size = case
    images = torch.randn(2, 3, size, size, dtype=torch.float64)
    with torch.no_grad():
        expected = copy.deepcopy(model).double()(images).numpy()
    named = models.quantize(copy.deepcopy(model), Bits(32, 32), "lsq", image=(3, size, size))
    graph = trace(named, images, "floats")
    logits = simulate(graph, {INPUT: images.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(logits, expected, rtol=1e-9, atol=1e-9)


def test_codes_are_those_of_the_fake_quant_model(case):
    model, size = case
    images = torch.randn(5, 3, size, size)  # more than a chunk
    quantized = models.quantize(copy.deepcopy(model), Bits(4, 4), "lsq", image=(3, size, size))
    quantized = calibrate(quantized, images).eval()
    assert all(q.calibrated for q in quantized.modules() if isinstance(q, Quantizer))
    graph = trace(quantized, images, "quantized")
    report = verify(quantized, graph, images, torch.zeros(5, dtype=torch.int64))
    for mode in ("node_by_node", "free_running"):
        assert report.mismatched(mode) == 0, report.first_diverging(mode)
