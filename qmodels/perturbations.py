"""What each attention (MSA) and each MLP of a float model loses at each width, as PTQ-ViT weighs it (arXiv 2106.14156).

    Omega_i(b) = (sum over j of sigma_j(Y_i)) * |Y'_i(b) - Y_i|^2

Printed: the sum of singular values (the nuclear norm) is of the attention map of an MSA and of the output of an MLP; Y' is
what comes of weights and inputs at b bits; Omega is summed over modules. Inferred, for the paper leaves it open:

- what is perturbed is the *output* of both kinds of module: a map knows nothing of the widths of v and of the projection;
- the map is what the softmax gives, of all heads (and windows) together: their norms add up, as those of a matrix of blocks;
- norm and square are of one image, and their means over the images are multiplied;
- a module gets the float model's own input, and nothing but it is quantized, so that modules add up.

A module's quantizers are calibrated on that input by `qmodels.calibrate.calibrate`, which gives grids of least squared error
whatever else the method searches for: its steps are not run. So this says how modules compare, in one pass of the float model
and two of the quantized one per width, not what the calibrated model will lose.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hwsim.cost.groups import ATTENTION, group_of
from hwsim.errors import HwsimError
from hwsim.ops.linear import Linear
from hwsim.spec import FLOAT_BITS
from qmodels import widths
from qmodels.calibrate import calibrate

Progress = Callable[[int, int], None]
StudentAt = Callable[[int], nn.Module]
"""The quantized twin of the float model, its modules at this width, no quantizer calibrated."""
MSA, MLP = "MSA", "MLP"
_OF_MLP = ("fc1", "fc2")


@dataclass(frozen=True, slots=True)
class Place:
    """An MSA or an MLP: the path of the module, and its products."""

    name: str
    kind: str
    products: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Module:
    """What one of them loses: its nuclear norm, and by width the squared perturbation of its output."""

    place: Place
    nuclear: float
    squared: Mapping[int, float]

    def omega(self, width: int) -> float:
        """Their product at this width."""
        return self.nuclear * self.squared[width]


def places(model: nn.Module) -> tuple[Place, ...]:
    """The MSAs and MLPs of `model`, whose products are modules, in its order; others stay at the widths that they have."""
    grouped: dict[str, list[str]] = {}
    for name in widths.of(model):
        grouped.setdefault(name.rpartition(".")[0], []).append(name)
    found = []
    for parent, products in grouped.items():
        groups = {group_of(name, Linear()) for name in products}
        if parent and groups.issuperset(ATTENTION):
            found.append(Place(parent, MSA, tuple(products)))
        elif parent and groups.intersection(_OF_MLP):
            found.append(Place(parent, MLP, tuple(products)))
    return tuple(found)


@torch.no_grad()
def perturbations(
    teacher: nn.Module,
    student_at: StudentAt,
    images: Tensor,
    candidates: Sequence[int],
    progress: Progress | None = None,
) -> tuple[Module, ...]:
    """What each MSA and MLP of `teacher` loses at each of the `candidates`, on `images` (B, C, H, W).

    teacher: the float model with its products as modules, as `models.quantize` at 32 bits leaves it. All images go through
    it at once. Raises HwsimError where it is not float, has no such module, or something is not finite.
    """
    found = places(teacher)
    if not found:
        raise HwsimError("teacher: must have attentions or MLPs, got none; give each layer its widths with a bits file")
    if narrow := [name for name, pair in widths.of(teacher).items() if pair != (FLOAT_BITS, FLOAT_BITS)]:
        raise HwsimError(f"teacher: must be float, got quantizers in {narrow[0]}; give the float model")
    measured = _Measured(len(images), len(found) * len(candidates), progress)
    for width in candidates:
        student = student_at(width).eval()
        with ExitStack() as hooks:
            for hook in _hooks(teacher, student, found, width, measured):
                hooks.callback(hook.remove)
            teacher.eval()(images)
    modules = tuple(Module(p, measured.nuclear[p.name], measured.squared[p.name]) for p in found)
    for module in modules:
        for width in candidates:
            if not math.isfinite(module.omega(width)):
                raise HwsimError(
                    f"{module.place.name}: what {width} bits perturb must be finite, got {module.omega(width)}; look for "
                    "NaN in images and weights"
                )
    return modules


class _Measured:
    """Sums over images, as the float model runs."""

    def __init__(self, images: int, total: int, progress: Progress | None) -> None:
        self.images, self.total, self.progress, self.done = images, total, progress, 0
        self.nuclear: dict[str, float] = {}
        self.squared: dict[str, dict[int, float]] = {}

    def norm(self, name: str, values: Tensor) -> None:
        """Take in the nuclear norms of matrices (..., M, N)."""
        norms = torch.linalg.matrix_norm(values.double(), "nuc") if values.isfinite().all() else values.sum()
        self.nuclear[name] = self.nuclear.get(name, 0.0) + float(norms.sum()) / self.images

    def square(self, name: str, width: int, perturbed: Tensor, output: Tensor) -> None:
        """Take in the output of one module at a width, and of its float twin."""
        own = self.squared.setdefault(name, {})
        own[width] = own.get(width, 0.0) + float((perturbed - output).double().square().sum()) / self.images
        self.done += 1
        if self.progress:
            self.progress(self.done, self.total)


def _hooks(
    teacher: nn.Module, student: nn.Module, found: Sequence[Place], width: int, measured: _Measured
) -> Iterator[Any]:
    """What runs beside each module of `teacher`: the student's on the same input, and the norms, unless known."""
    known = set(measured.nuclear)
    for place in found:
        module, own = teacher.get_submodule(place.name), student.get_submodule(place.name)

        def beside(
            module: nn.Module,
            inputs: tuple[Any, ...],
            named: dict[str, Any],
            output: Tensor,
            place: Place = place,
            own: nn.Module = own,
        ) -> None:
            calibrate(own, *inputs, **named)
            measured.square(place.name, width, own(*inputs, **named), output)
            if place.kind == MLP and place.name not in known:
                measured.norm(place.name, output.flatten(1, -2))

        yield module.register_forward_hook(beside, with_kwargs=True)
        if place.kind == MSA and place.name not in known:

            def of_map(product: nn.Module, inputs: tuple[Any, ...], name: str = place.name) -> None:
                measured.norm(name, inputs[0])

            yield module.get_submodule("av").register_forward_pre_hook(of_map)
