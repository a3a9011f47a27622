import pytest
import torch

from qmodels import builder
from qmodels.distillation import dgd, distance, gather, similarity, soft_labels


def test_distance_is_that_of_the_similarity_matrices():
    s, t = torch.randn(2, 3, 20, 8), torch.randn(2, 3, 20, 8)
    expected = (similarity(s) - similarity(t)).flatten(2).norm(dim=2)
    torch.testing.assert_close(distance(s, t), expected)
    torch.testing.assert_close(dgd([s, t], [t, s]), 2 * expected.sum(1).mean())


def test_similarity_has_norm_1_and_ignores_the_scale():
    x = torch.randn(2, 3, 20, 8)
    assert similarity(x).flatten(2).norm(dim=2) == pytest.approx(torch.ones(2, 3))
    assert distance(x, 5 * x).max() < 2e-3
    x.requires_grad_()
    dgd([x], [x.detach()]).backward()
    assert x.grad.isfinite().all()


def test_soft_labels_are_zero_for_equal_logits_only():
    a, b = torch.randn(4, 10), torch.randn(4, 10)
    assert soft_labels(a, a + 3).item() == pytest.approx(0, abs=1e-6)
    assert soft_labels(a, b) > 0


def test_gather_sees_q_and_k_of_every_layer_and_leaves_no_hooks():
    model, images = builder.build("digits_deit_w4a4"), torch.randn(2, 1, 32, 32)
    with gather(model) as seen, torch.no_grad():
        model(images)
        assert [x.shape for x in seen] == [(2, 3, 65, 16)] * 8
    assert not any(m._forward_hooks for m in model.modules())
