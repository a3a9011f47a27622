"""What went wrong, and where: numbers that are not finite, memory that did not suffice."""

import torch
from torch import Tensor, nn

from qmodels.training.parallel import whole


@torch.no_grad()
def first_not_finite(model: nn.Module, images: Tensor) -> str:
    """The path of the first layer of `model` whose output on `images` is not finite, "" where all are."""
    names = {module: name for name, module in model.named_modules()}
    found: list[str] = []

    def look(module: nn.Module, _inputs: object, output: object) -> None:
        if not found and isinstance(output, Tensor) and not output.isfinite().all():
            found.append(names[module] or "the model")

    hooks = [module.register_forward_hook(look) for module in names]
    try:
        model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return found[0] if found else ""


def bad_gradient(model: nn.Module) -> str:
    """The name of the last parameter whose gradient is not finite, "" where all are: gradients run backwards, so that it is
    the one nearest to the cause."""
    for name, parameter in reversed(list(model.named_parameters())):
        if parameter.grad is not None and not whole(parameter.grad).isfinite().all():
            return name
    return ""


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether the device, or on a CPU the allocator, had no more memory."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
