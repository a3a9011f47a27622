"""Which units can stand alone: those that read nothing but what the unit before them gave.

A block may read what an earlier one gave too (the class attention of CaiT reads all tokens, the blocks of a stage of GCViT
one query), and then it cannot run from the block before alone. So each unit of the float model is run from what the unit
before it gave for some images, and compared with the whole model; one that gives something else is joined with the unit
before, until it does not. In the worst case the model is one unit.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from hwsim.errors import IllegalModel
from qmodels.ptq.cut import Cut
from qmodels.ptq.partial import Partial, passing

NOISE = 1e-6
"""How far two runs of the same arithmetic may be apart, as a share of the largest value."""


@torch.no_grad()
def independent(cuts: Sequence[Cut], model: nn.Module, images: Tensor) -> tuple[Cut, ...]:
    """`cuts` of the float `model` (eval mode), joined as far as `images` (B, C, H, W) show that they must be."""
    with passing(model):
        wanted = _results(cuts, model, images)
        found: list[Cut] = []
        for cut in cuts:
            found.append(cut)
            while len(found) > 1 and not _alone(found, model, wanted, tuple(images.shape[1:])):
                last = found.pop()
                found[-1] = found[-1].joined(last)
    return tuple(found)


def _results(cuts: Sequence[Cut], model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """What each cut gives in the whole model, by its module; "" is the model's result."""
    found: dict[str, Tensor] = {}

    def keep(module: str) -> Callable[..., None]:
        return lambda _module, _inputs, output: found.update({module: output.clone()})

    handles = [model.get_submodule(cut.module).register_forward_hook(keep(cut.module)) for cut in cuts if cut.module]
    try:
        result = model(images)
    finally:
        for handle in handles:
            handle.remove()
    if not isinstance(result, Tensor):
        raise IllegalModel(
            f"{type(model).__name__}: must give one tensor, got {type(result).__name__}; calibrate a part of it that does"
        )
    return {**found, "": result}


def _alone(found: Sequence[Cut], model: nn.Module, wanted: dict[str, Tensor], image: tuple[int, ...]) -> bool:
    """Whether the last unit of `found` gives what is `wanted` from what the one before gave alone."""
    partial, given = Partial(found, image), wanted[found[-2].module]
    partial.shapes = [tuple(wanted[cut.module].shape[1:]) for cut in found[:-1]]
    if len(given) != len(wanted[""]):
        return False
    got, own = partial.run(model, len(found) - 1, given), wanted[found[-1].module]
    return got.shape == own.shape and bool((got - own).abs().max() <= NOISE * own.abs().max())
