"""Running a part of a model: from one cut to the next, with all before replaced by what is stored of it.

The whole model's forward runs, so that whatever stands between the blocks (class token, position embedding, masks, reshapes)
stays the model's own; the cuts before the last one give zeros of the right shape, which cost nothing and which nobody
looks at, the last one gives the stored value, and the run stops at the cut where the unit ends.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from qmodels.layers.rectifier import Rectifier
from qmodels.ptq.cut import Cut
from qmodels.quantizer import Quantizer


class _Reached(Exception):
    """The end of the unit, with its result."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = value


class Partial:
    """Runs units of models that have the modules of `cuts`; `image` is (C, H, W)."""

    def __init__(self, cuts: Sequence[Cut], image: tuple[int, ...]) -> None:
        self.cuts, self.image = tuple(cuts), image
        self.shapes: list[tuple[int, ...]] = []
        """Of the results of the cuts, without the batch; filled as they are reached."""

    def run(self, model: nn.Module, index: int, x: Tensor, end: str = "") -> Tensor:
        """The result of unit `index` of `model` for `x`, which is what the unit before gave (images for the first).

        end: the module of the unit whose result is wanted, in place of the last; nothing behind it runs.
        """
        with self._stubbed(model, index, x):
            return self._ended(model, index, x, end)

    def to_end(self, model: nn.Module, index: int, x: Tensor) -> Tensor:
        """The model's result from unit `index` on."""
        with self._stubbed(model, index, x):
            result: Tensor = model(self._images(index, x))
            return result

    def _ended(self, model: nn.Module, index: int, x: Tensor, end: str) -> Tensor:
        own = self.cuts[index].module
        end = end or own
        if not end:
            result: Tensor = model(self._images(index, x))
            return result

        def stop(module: nn.Module, inputs: Any, output: Tensor) -> None:
            raise _Reached(output)

        handle = model.get_submodule(end).register_forward_hook(stop)
        try:
            model(self._images(index, x))
        except _Reached as reached:
            if end == own and len(self.shapes) == index:
                self.shapes.append(tuple(reached.value.shape[1:]))
            return reached.value
        finally:
            handle.remove()
        raise AssertionError(f"{end}: was not reached")

    def _images(self, index: int, x: Tensor) -> Tensor:
        """Images for the model: `x` itself for the first unit, else zeros in no memory."""
        return x if index == 0 else x.new_zeros(()).expand(len(x), *self.image)

    @contextmanager
    def _stubbed(self, model: nn.Module, index: int, x: Tensor) -> Iterator[None]:
        stubs = []
        for k, cut in enumerate(self.cuts[:index]):
            value = x if k == index - 1 else x.new_zeros(()).expand(len(x), *self.shapes[k])
            module = model.get_submodule(cut.module)
            module.forward = lambda *args, value=value, **kwargs: value
            stubs.append(module)
        try:
            yield
        finally:
            for module in stubs:
                del module.forward


@contextmanager
def passing(model: nn.Module) -> Iterator[None]:
    """Within, quantizers and rectifiers of `model` that are not calibrated give back what they get."""
    waiting = [m for m in model.modules() if isinstance(m, Quantizer | Rectifier) and not m.calibrated]
    for module in waiting:
        module.forward = partial(_forward, module)
    try:
        yield
    finally:
        for module in waiting:
            module.__dict__.pop("forward", None)


def _forward(module: Quantizer | Rectifier, x: Tensor) -> Tensor:
    result: Tensor = type(module).forward(module, x) if module.calibrated else x
    return result
