"""Unit: one part of the model in the hands of a step, and all that a step may want to know of it.

Two streams lead to a unit: `float`, what the original model gives before it, and `quantized`, what the model gives whose
earlier units are done. Quantizers that are not calibrated yet pass values through. Searches look at the activations of the
first `sample` calibration images, which run at once and are held in memory for one unit at a time; all images come batch by
batch.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwsim.errors import HwsimError
from qmodels.layers.quant_products import aside
from qmodels.ptq.cut import Cut
from qmodels.ptq.partial import Partial, passing
from qmodels.ptq.settings import Settings
from qmodels.ptq.site import Site
from qmodels.ptq.stream import Stream
from qmodels.quantizer import Quantizer
from qmodels.sources import Source

Kind = Literal["float", "quantized"]
GRADED = 8
"""Images whose gradients are found at once: what all layers behind the unit keep for it is held in memory."""


@dataclass(frozen=True, slots=True)
class Captured:
    """What a module got and gave: tensors of the images in order, the batch along the first axis."""

    inputs: tuple[Tensor, ...]
    output: Tensor


@dataclass(slots=True, eq=False)
class Unit:
    """Unit `index`, which ends at `cut`; `model` is the whole student, `teacher` its float twin with the same paths.

    generator: seeded by the
    calibration's seed, the stage and the unit. told: a step says here how far it is, 0..1; note: a name, and a figure that
    it found, for who reads `Outcome.notes`.
    """

    cut: Cut
    index: int
    model: nn.Module
    teacher: nn.Module
    partial: Partial
    settings: Settings
    find_sources: Callable[[], Mapping[str, Source]]
    streams: Mapping[str, Stream]
    target: Stream
    generator: torch.Generator
    told: Callable[[float], None] = lambda share: None
    note: Callable[[str, float], None] = lambda name, figure: None
    _gradients: dict[str, Tensor] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The path of the module that it ends at, `head` for the last."""
        return self.cut.name

    @property
    def sites(self) -> tuple[Site, ...]:
        """Its products, as they run."""
        return tuple(self._site(self.model, path) for path in self.cut.sites)

    def _site(self, model: nn.Module, path: str) -> Site:
        return Site(path, model.get_submodule(path), self.cut.biases.get(path))  # type: ignore[arg-type]

    @property
    def quantizers(self) -> tuple[tuple[str, Quantizer], ...]:
        """Its quantizers of activations as they run, by path; those that a step has put in place of others too."""
        found = ((path, self.model.get_submodule(path)) for path in self.cut.quantizers)
        return tuple((path, module) for path, module in found if isinstance(module, Quantizer))

    @property
    def sources(self) -> Mapping[str, Source]:
        """Of each quantizer of the model, by path, the LayerNorm that feeds it alone (`qmodels.sources`)."""
        return self.find_sources()

    def batches(self, stream: Kind) -> Iterator[Tensor]:
        """What leads to the unit, all calibration images, batch by batch."""
        return iter(self.streams[stream])

    def targets(self) -> Iterator[Tensor]:
        """What the teacher gives at the unit's end, in the same batches."""
        return iter(self.target)

    def run(self, x: Tensor) -> Tensor:
        """What the student gives at the unit's end for a batch; gradients flow unless they are switched off."""
        with passing(self.model):
            return self.partial.run(self.model, self.index, x)

    def sample(self, stream: Kind) -> Tensor:
        """What leads to the unit for the first `sample` images."""
        return self.streams[stream].part(0, self.settings.sample)

    @torch.no_grad()
    def captured(self, path: str, stream: Kind, count: int | None = None) -> Captured:
        """What the module `path` gets and gives on the first `count` images, by default `sample`.

        `float`: in the teacher. `quantized`: in the student as it now is.
        """
        model = self.teacher if stream == "float" else self.model
        seen: list[tuple[tuple[Tensor, ...], Tensor]] = []

        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen.append((inputs, output))

        handle = model.get_submodule(path).register_forward_hook(hook)
        try:
            values = self.streams[stream].part(0, count or self.settings.sample)
            with passing(model):
                for part in values.split(self.settings.batch):
                    self.partial.run(model, self.index, part)
        finally:
            handle.remove()
        inputs = tuple(torch.cat(parts) for parts in zip(*(given for given, _ in seen), strict=True))
        return Captured(inputs, torch.cat([output for _, output in seen]))

    @torch.no_grad()
    def calls(self, path: str, stream: Kind) -> Iterator[Captured]:
        """What the module `path` gets and gives, as `captured`, but on all calibration images, batch by batch."""
        model = self.teacher if stream == "float" else self.model
        seen: list[tuple[Tensor, ...]] = []
        handle = model.get_submodule(path).register_forward_pre_hook(lambda module, inputs: seen.append(inputs))
        try:
            with passing(model):
                for part in self.streams[stream]:
                    output = self.partial.run(model, self.index, part, path)
                    yield Captured(seen.pop(), output)
        finally:
            handle.remove()

    @torch.no_grad()
    def visit(self, stream: Kind, action: Callable[[str, Quantizer, Tensor], None]) -> None:
        """`action(path, quantizer, x)` for each activation quantizer that is not calibrated, before it runs, in order.

        x is of the first `sample` images, which run at once, whatever the batch, for what comes behind waits for the grid.
        With `quantized`, each sees what those before it, once calibrated, let through; with `float`, none quantizes.
        """
        waiting = [(path, quantizer) for path, quantizer in self.quantizers if not quantizer.calibrated]
        seen: dict[str, Tensor] = {}

        def hook(path: str, quantizer: Quantizer) -> Callable[..., None]:
            def before(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
                if stream == "float":
                    seen.setdefault(path, inputs[0])
                    return
                if not quantizer.calibrated:
                    self._act(self.model, path, action, path, quantizer, inputs[0])

            return before

        handles = [quantizer.register_forward_pre_hook(hook(path, quantizer)) for path, quantizer in waiting]
        try:
            self.run(self.sample(stream))
        finally:
            for handle in handles:
                handle.remove()
        for path, quantizer in waiting:
            if path in seen:
                self._act(self.model, path, action, path, quantizer, seen[path])

    @torch.no_grad()
    def watch(self, stream: Kind, action: Callable[[Site, tuple[Tensor, ...]], None]) -> None:
        """`action(site, inputs)` for each site as it is about to run on the first `sample` images, all at once, in order.

        `float`: sites and inputs of the teacher. `quantized`: of the student, where what the action does to a site holds for
        all that runs behind it.
        """
        model = self.teacher if stream == "float" else self.model
        waiting = dict.fromkeys(self.cut.sites)

        def hook(path: str) -> Callable[..., None]:
            def before(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
                if path in waiting:
                    del waiting[path]
                    self._act(model, path, action, self._site(model, path), inputs)

            return before

        handles = [model.get_submodule(path).register_forward_pre_hook(hook(path)) for path in self.cut.sites]
        try:
            with passing(model):
                self.partial.run(model, self.index, self.sample(stream))
        finally:
            for handle in handles:
                handle.remove()

    @staticmethod
    def _act(model: nn.Module, path: str, action: Callable[..., None], *given: object) -> None:
        """Call it, maybe from within a forward of `model`, and say in an error which module it is about."""
        try:
            with aside(model):
                action(*given)
        except HwsimError as error:
            raise type(error)(f"{path}: {error}") from None

    def gradients(self, path: str) -> Tensor:
        """d loss / d output of the teacher's module `path`, on the first `sample` images, of the shape of that output.

        The loss is the cross entropy with a label drawn from the teacher's own prediction, so that the mean of squares
        is the diagonal of the Fisher information; with the prediction itself as the label it would be zero.
        """
        if not self._gradients:
            self._find_gradients()
        return self._gradients[path]

    def _find_gradients(self) -> None:
        found: dict[str, list[Tensor]] = {path: [] for path in self.cut.sites}
        outputs: dict[str, Tensor] = {}

        def hook(path: str) -> Callable[..., None]:
            def after(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
                if not output.requires_grad:  # of something learned, as the query of a pool, not of the image
                    output = output.detach().requires_grad_()
                output.retain_grad()
                outputs[path] = output
                return output

            return after

        draw = torch.Generator().manual_seed(self.settings.seed)
        handles = [self.teacher.get_submodule(path).register_forward_hook(hook(path)) for path in self.cut.sites]
        try:
            for part in self.sample("float").split(min(self.settings.batch, GRADED)):
                with torch.enable_grad():
                    logits = self.partial.to_end(self.teacher, self.index, part.requires_grad_())
                    if not torch.isfinite(logits).all():
                        bad = float(logits.detach()[~torch.isfinite(logits)][0])
                        raise HwsimError(
                            f"{self.name}: predictions of the float model must be finite, got {bad}; check images and weights"
                        )
                    labels = torch.multinomial(logits.detach().softmax(1), 1, generator=draw).flatten()
                    F.cross_entropy(logits, labels, reduction="sum").backward()
                for path, output in outputs.items():
                    assert output.grad is not None
                    found[path].append(output.grad.detach())
                outputs.clear()
        finally:
            for handle in handles:
                handle.remove()
        self._gradients = {path: torch.cat(parts) for path, parts in found.items()}
