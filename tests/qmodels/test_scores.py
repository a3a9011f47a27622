"""What is measured inside a model, against numpy and against what must be by construction."""

import numpy as np
import pytest
import torch

from qmodels import builder, scores
from qmodels.calibrate import calibrate
from qmodels.method import changed, find
from qmodels.models import create, quantize
from qmodels.objectives.dgd import similarity
from workloads.bits import Bits


@pytest.fixture(scope="module")
def images():
    return torch.randn(70, 1, 32, 32, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def rectified(images):
    torch.manual_seed(0)
    model = quantize(create("digits_deit"), Bits(2, 2), changed(find("lsq"), {"irm": "layernorm"}))
    return calibrate(model, images[:8])


def test_entropy_is_that_of_the_shares_of_codes():
    codes = torch.tensor([[0, 0, 1, 1, 2, 2, 3, 3], [5, 5, 5, 5, 5, 5, 5, 5]])
    assert scores.entropy(codes[:1], 0) == pytest.approx(2.0)
    assert scores.entropy(codes[1:], 0) == 0
    assert scores.entropy(codes, 0) == pytest.approx(1.0)  # the mean of both
    drawn = torch.randint(0, 5, (6, 3, 50)).clamp(max=3)
    p = np.stack([np.bincount(row, minlength=4) for row in drawn.movedim(1, 0).flatten(1).numpy()]) / 300
    assert scores.entropy(drawn) == pytest.approx(-(p * np.log2(p)).sum(1).mean(), rel=1e-12)


def test_irm_before_a_quantizer_raises_the_entropy_of_a_skewed_gaussian(rectified):
    """The argument of the method: values of other spread and mean than the grid's leave codes unused."""
    x = 0.3 * torch.randn(8, 3, 65, 16) + 0.4 + torch.rand(8, 3, 65, 1)
    attention = rectified.blocks[0].attn
    quantizer, norm = attention.qk.a_quantizer, torch.nn.LayerNorm(16)
    quantizer.scale.data.fill_(0.9957)  # of least squared error for a standard Gaussian at two bits
    assert scores.entropy(quantizer.codes(norm(x))) > scores.entropy(quantizer.codes(x)) + 0.2


def test_what_is_seen_is_what_the_model_computes(rectified, images):
    rectified.train()
    seen = scores.attentions(rectified, images)
    assert rectified.training
    assert [a.path for a in seen] == [f"blocks.{i}.attn" for i in range(4)]
    assert not any(m._forward_pre_hooks for m in rectified.modules())
    first, block = seen[0], rectified.eval().blocks[0]
    with torch.no_grad():
        x = block.norm1(rectified._pos_embed(rectified.patch_embed(images)))
        q, k, _ = block.attn.qkv(x).reshape(70, 65, 3, 3, 16).permute(2, 0, 3, 1, 4)
    torch.testing.assert_close(first.raw["q"], q)
    torch.testing.assert_close(first.heads["k"], block.attn.k_norm(k))
    assert first.codes["k"].shape == (70, 3, 65, 16)
    quantized = {key: first.codes[key] * first.grid[key].positive_scale() for key in "qk"}
    wanted = (quantized["q"] @ quantized["k"].transpose(-2, -1) * block.attn.scale).softmax(-1)
    torch.testing.assert_close(first.map, wanted)


def test_a_float_model_has_no_codes_and_no_distance_to_itself(images):
    model = builder.build("digits_float")
    (first, *_), (again, *_) = scores.attentions(model, images[:4]), scores.attentions(model, images[:4])
    assert first.codes == {"q": None, "k": None}
    assert first.raw["q"] is not None
    assert scores.map_distance(first, again) == 0
    assert scores.head_distance(first, again)["q"] < 4e-3  # the square root of the least that the measure tells from 0
    assert scores.scales(model) == {}


def test_distances_are_those_of_their_definitions(rectified, images):
    teacher = scores.attentions(builder.build("digits_float"), images[:6])[1]
    student = scores.attentions(rectified, images[:6])[1]
    s, t = student.map.double().numpy(), teacher.map.double().numpy()
    assert scores.map_distance(student, teacher) == pytest.approx((t * np.log(t / s)).sum(-1).mean(), rel=1e-6)
    gap = (similarity(student.heads["k"]) - similarity(teacher.heads["k"])).flatten(2).norm(dim=2).sum(1).mean().item()
    assert scores.head_distance(student, teacher)["k"] == pytest.approx(gap, rel=1e-4)


def test_a_histogram_counts_every_value():
    values, edges = torch.randn(1000) * 2, torch.linspace(-1.5, 1.5, 13)
    counted = scores.histogram(values, edges)
    assert counted.sum() == 1000
    inner = np.histogram(values.double().clamp(-1.5, 1.5).numpy(), edges.double().numpy())[0]
    assert counted.tolist() == inner.tolist()


def test_scales_are_named_by_their_quantizers(rectified):
    found = scores.scales(rectified)
    assert found["blocks.2.attn.qk.a_quantizer"] == (2, rectified.blocks[2].attn.qk.a_quantizer.scale.item())
    assert found["head.weight_quantizer"][0] == 8
    assert len(found) == 2 * (1 + 4 * 4 + 1) + 4 * 4
