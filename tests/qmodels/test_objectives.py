"""Terms of the loss against their equations, written out."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hwsim import catalog
from hwsim.errors import HwsimError
from qmodels import builder, method, objectives
from qmodels.objectives.dgd import Dgd, distance, gather, similarity
from qmodels.objectives.hard_labels import HardLabels
from qmodels.objectives.labels import Labels
from qmodels.objectives.objective import Objective, Step
from qmodels.objectives.soft_labels import SoftLabels

LOGITS, TEACHER = torch.tensor([[2.0, 1.0, 0.0], [0.0, 0.5, -1.0]]), torch.tensor([[0.0, 3.0, 1.0], [1.0, 0.0, 0.0]])
STEP = Step(torch.nn.Identity(), LOGITS, torch.tensor([0, 2]), TEACHER)


def _probabilities(logits):
    e = np.exp(np.asarray(logits, dtype=np.float64))
    return e / e.sum(1, keepdims=True)


@pytest.mark.parametrize("name", [n for n in catalog.names("qmodels.objectives") if n != "objective"])
def test_each_file_defines_the_term_of_its_name(name):
    found = catalog.find("qmodels.objectives", name, "objective")
    assert issubclass(found, Objective)
    assert found.name == name


def test_of_gives_the_terms_that_the_method_weighs():
    assert {t.name: t.weight for t in objectives.of(method.find("lsq"))} == {"labels": 1, "soft_labels": 1}
    assert {t.name: t.weight for t in objectives.of(method.find("qvit"))} == {"labels": 1, "soft_labels": 1, "dgd": 1}
    halves = {"labels": 0.5, "hard_labels": 0.5}
    assert {t.name: t.weight for t in objectives.of(method.find("qvit_released"))} == halves
    assert {t.name: t.weight for t in objectives.of(method.find("qvit_paper"))} == {**halves, "dgd": 1}
    alone = objectives.of(method.find("qvit"), teacher=False, smoothing=0.1)
    assert [(t.name, t.smoothing, t.weight_at(0.5)) for t in alone] == [("labels", 0.1, 1.0)]


def test_labels_by_hand():
    p = _probabilities(LOGITS)
    expected = -(math.log(p[0, 0]) + math.log(p[1, 2])) / 2
    assert Labels(1.0).value(STEP).item() == pytest.approx(expected)
    smoothed = 0.7 * expected - 0.3 * np.log(p).mean()
    assert Labels(1.0, 0.3).value(STEP).item() == pytest.approx(smoothed)
    shares = Step(torch.nn.Identity(), LOGITS, F.one_hot(STEP.labels, 3).float())
    assert Labels(1.0).value(shares).item() == pytest.approx(expected)


def test_soft_labels_by_hand():
    p, q = _probabilities(TEACHER), _probabilities(LOGITS)
    assert SoftLabels(1.0).value(STEP).item() == pytest.approx((p * np.log(p / q)).sum() / 2)
    same = Step(torch.nn.Identity(), LOGITS, STEP.labels, LOGITS + 3)
    assert SoftLabels(1.0).value(same).item() == pytest.approx(0, abs=1e-6)


def test_hard_labels_by_hand_and_by_a_second_head():
    p = _probabilities(LOGITS)
    assert HardLabels(1.0).value(STEP).item() == pytest.approx(-(math.log(p[0, 1]) + math.log(p[1, 0])) / 2)
    second = Step(torch.nn.Identity(), LOGITS, STEP.labels, TEACHER, distilled_logits=TEACHER)
    p = _probabilities(TEACHER)
    assert HardLabels(1.0).value(second).item() == pytest.approx(-(math.log(p[0, 1]) + math.log(p[1, 0])) / 2)


def _dgd_as_printed(student, teacher):
    """The equation with N x N matrices, one image, layer and head at a time, in NumPy."""
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        for image in range(len(s)):
            for head in range(s.shape[1]):
                a, b = (np.asarray(x[image, head], dtype=np.float64) for x in (s, t))
                g, h = a @ a.T, b @ b.T
                difference = h / np.sqrt((h * h).sum()) - g / np.sqrt((g * g).sum())
                total += np.sqrt((difference * difference).sum()) / len(s)
    return total


def _value(student, teacher):
    return Dgd(1.0).value(Step(torch.nn.Identity(), LOGITS, STEP.labels, TEACHER, student, teacher))


def test_dgd_is_the_printed_sum_over_layers_heads_q_and_k():
    student = [torch.randn(2, 3, 20, 8) for _ in range(4)]  # q and k of two layers
    teacher = [torch.randn(2, 3, 20, 6) for _ in range(4)]  # of another width: only tokens are compared
    assert _value(student, teacher).item() == pytest.approx(_dgd_as_printed(student, teacher), rel=1e-5)


def test_dgd_of_multiples_of_the_teacher_is_nothing_and_its_gradient_finite():
    x = torch.randn(2, 3, 20, 8, dtype=torch.float64)
    assert distance(x, 5 * x).max() == pytest.approx(1e-3)  # the root of the floor under it
    assert _dgd_as_printed([x], [5 * x]) == pytest.approx(0, abs=1e-12)
    other = torch.randn_like(x)
    torch.testing.assert_close(_value([x], [other]), _value([x / 8**0.5], [other]))
    assert similarity(x).flatten(2).norm(dim=2).numpy() == pytest.approx(1)
    x.requires_grad_()
    _value([x], [x.detach()]).backward()
    assert x.grad.isfinite().all()


def test_dgd_gradient_is_that_of_the_printed_matrices():
    s, t = torch.randn(2, 3, 9, 4, dtype=torch.float64, requires_grad=True), torch.randn(2, 3, 9, 4).double()
    (ours,) = torch.autograd.grad(_value([s], [t]), s)
    printed = (similarity(t) - similarity(s)).flatten(2).norm(dim=2).sum(1).mean()
    torch.testing.assert_close(ours, torch.autograd.grad(printed, s)[0])


def test_dgd_needs_equal_heads_and_tokens():
    with pytest.raises(HwsimError) as caught:
        _value([torch.randn(2, 3, 20, 8)], [torch.randn(2, 6, 20, 8)])
    assert str(caught.value) == (
        "dgd: student and teacher must have equal images, heads and tokens, got 1 of (2, 3, 20, 8) and 1 of (2, 6, 20, 8); "
        "choose another teacher, or dgd=0"
    )
    with pytest.raises(HwsimError, match=r"^dgd: .*, got none and none; choose another teacher, or dgd=0$"):
        _value([], [])


def test_gather_sees_q_and_k_of_every_layer_and_leaves_no_hooks():
    model, images = builder.build("digits_deit_w4a4"), torch.randn(2, 1, 32, 32)
    with gather(model) as seen, torch.no_grad():
        model(images)
        assert [x.shape for x in seen] == [(2, 3, 65, 16)] * 8
    assert not any(m._forward_hooks for m in model.modules())


def test_dgd_is_taken_in_float32_under_autocast():
    teacher = torch.randn(2, 3, 17, 16)
    student = (teacher + 0.05 * torch.randn_like(teacher)).requires_grad_()
    distance(student, teacher).sum().backward()
    wanted, student.grad = student.grad, None
    with torch.autocast("cpu", torch.bfloat16):
        found = distance(student, teacher)
    found.sum().backward()
    assert found.dtype == torch.float32
    assert torch.equal(student.grad, wanted)
