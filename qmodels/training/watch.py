"""What went wrong, and where: numbers that are not finite, memory that did not suffice."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from hwsim.errors import HwsimError
from qmodels.training.parallel import whole
from workloads.workload import Recipe


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


@contextmanager
def enough_memory(name: str, work: str, key: str, recipe: Recipe, device: torch.device) -> Iterator[None]:
    """Within, too little memory for the `work` is an HwsimError that says which number of images to lower, the field `key` of
    the recipe; where it is 1 already, or there is none (""), what else helps."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        images = getattr(recipe, key) if key else 0
        got = f" with {key} {images}" if key else ""
        remedy = f"pass --set {key}={images // 2}"
        if images <= 1:
            other = "or pass --set device=cpu" if device.type == "cuda" else "or choose a smaller model"
            remedy = f"spread the model over processes with torchrun and --set parallel=fsdp, {other}"
        raise HwsimError(
            f"{name}: memory must suffice for {work}, got too little on {device}{got}; {remedy}"
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device, or on a CPU the allocator, had no more memory."""
    said = str(error)
    known = ("can't allocate memory", "CUDA error: out of memory", "ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(text in said for text in known)
