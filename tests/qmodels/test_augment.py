import torch

from qmodels import augment, data


def test_deterministic_small_and_in_range():
    images, _ = data.digits("validation")
    one, two = (augment.affine(images, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, two)
    assert one.shape == images.shape
    assert one.min() >= -1
    assert one.max() <= 1
    assert not torch.equal(one, images)
    flat = torch.stack([one.flatten(), images.flatten()])
    assert torch.corrcoef(flat)[0, 1] > 0.6
