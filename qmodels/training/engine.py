"""The loop: forward, loss, backward, clipped step, for each batch of each epoch; the same on a CPU, a GPU, a cluster.

The loss is the sum of the method's objectives (`qmodels.objectives`). Deterministic for a seed, a thread count, a number
of processes and a machine, also when it is killed and goes on. The checkpoint is the last epoch's (with `ema`, the average
then); nothing is chosen on the test split.
"""

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from hwsim.accel.layer_bits import Widths
from hwsim.errors import HwsimError
from qmodels import checkpoint, identity, objectives
from qmodels import method as methods
from qmodels.objectives.dgd import gather
from qmodels.objectives.objective import Step
from qmodels.training import optimizer as optimizers
from qmodels.training import parallel, settings, start, state, watch
from qmodels.training.feed import Batch, Feed, Position
from qmodels.training.log import Log
from qmodels.training.metrics import Metrics, Progress, silent
from qmodels.training.observer import Moment, Observer
from qmodels.training.parallel import Group
from qmodels.training.precision import Precision
from qmodels.training.settings import Settings
from qmodels.training.stored_crops import stored_crops
from qmodels.training.validation import Validation
from workloads.workload import Recipe, Workload


@dataclasses.dataclass(frozen=True, slots=True)
class Places:
    """Where a training reads and writes: the checkpoint, images of folders, the teacher's checkpoint, both logs.

    every: steps between states that are kept, None for one per epoch, 0 for none. keep_state: whether the last one stays.
    """

    out: Path
    root: Path | None = None
    teacher: Path | str | None = None
    log: Path | None = None
    board: Path | None = None
    every: int | None = None
    resume: bool = False
    keep_state: bool = False


def _unsaid(_line: str) -> None:
    """What a process that does not write says."""


def train(
    workload: Workload | str,
    *,
    out: Path,
    method: str | None = None,
    preset: str = methods.DEPLOYABLE,
    recipe: Recipe | None = None,
    changes: Mapping[str, str] | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    teacher: Path | str | None = None,
    layer_bits: Mapping[str, Widths] | None = None,
    root: Path | None = None,
    resume: bool = False,
    every: int | None = None,
    log: Path | None = None,
    tensorboard: Path | None = None,
    keep_state: bool = False,
    say: Callable[[str], None] = _unsaid,
    progress: Callable[[Progress], None] = silent,
    observers: Sequence[Observer] = (),
) -> Metrics:
    """Train `workload` as `settings.resolve` says, write the checkpoint `out`, and return what it came to.

    teacher: the float checkpoint that the model starts from, `start.PRETRAINED` for timm's weights; the shipped one of a
    quantized model by default. layer_bits: widths of products, as `models.quantize` takes them. root: the folder of an image
    folder's splits. resume: go on from the state beside `out`, where there is one. every, keep_state: see `Places`. log,
    tensorboard: a file of records, a folder. `say` is told lines. Raises HwsimError in one line for whatever stops it.
    """
    numbers = {key: str(value) for key, value in (("epochs", epochs), ("seed", seed)) if value is not None}
    chosen = settings.resolve(
        workload,
        method=method,
        preset=preset,
        recipe=recipe,
        changes={**numbers, **(changes or {})},
        layer_bits=layer_bits,
    )
    places = Places(Path(out), root, teacher, log, tensorboard, every, resume, keep_state)
    with (
        parallel.started(chosen.recipe) as group,
        torch.random.fork_rng(devices=()),
        watch.enough_memory(chosen.workload.name, "the model", "", chosen.recipe, group.device),
    ):
        torch.manual_seed(chosen.recipe.seed)
        return Training(chosen, places, group, progress, observers, say if group.writes else _unsaid).run()


class Training:
    """One training: everything that it consists of, and where it is (`place`)."""

    def __init__(
        self,
        chosen: Settings,
        places: Places,
        group: Group,
        progress: Callable[[Progress], None],
        observers: Sequence[Observer],
        say: Callable[[str], None] = _unsaid,
    ) -> None:
        self.settings, self.places, self.group = chosen, places, group
        self.progress, self.observers = (progress, tuple(observers)) if group.writes else (silent, ())
        workload, recipe = chosen.workload, chosen.recipe
        self.name, self.recipe = workload.name, recipe
        self.model, self.master = start.pair(chosen, places.teacher, places.root, group.device, say)
        given = self.master or (self.model if places.teacher else None)
        self.teacher_weights = identity.digest(given) if given is not None else ""
        crops = None
        if chosen.method.crops:
            crops = stored_crops(chosen, self.master, places.root, places.out.parent, group, self.progress)
        self.feed = Feed(workload, recipe, places.root, group, self.model.num_classes, crops)
        shared = group.size > 1 and recipe.parallel == "ddp"
        self.validation = Validation(workload, recipe, places.root, self.feed.names, group, shared)
        self.terms = objectives.of(chosen.method, teacher=self.master is not None, smoothing=recipe.label_smoothing)
        if not self.terms:
            raise HwsimError(f"{self.name}: the loss must have a term, got none; pass --set labels=1, or a teacher")
        self.wrapped = parallel.wrapped(self.model, group, recipe.parallel)
        if recipe.compile:  # the step alone: what is judged and written is `model`
            self.wrapped = torch.compile(self.wrapped, dynamic=False)
        self.averaged = optimizers.averaged(self.model, recipe)
        self.optimizer = optimizers.make(self.model, recipe)
        self.rate = optimizers.schedule(self.optimizer, recipe, len(self.feed.sizes))
        self.precision = Precision(recipe, group.device, self.name)
        self.place = state.Place()
        if group.rank:
            torch.manual_seed(recipe.seed + group.rank)  # dropout differs between the processes
        self.began = time.perf_counter()

    def run(self) -> Metrics:
        """Train to the end, write the checkpoint, and take the state away, if it is not to stay."""
        kept = state.path_of(self.places.out)
        if self.places.resume and kept.exists():
            self._restore(kept)
        tags = {"method": self.settings.method.name, "bits": self.settings.workload.bits.name}
        tags = {**tags, "seed": str(self.recipe.seed), **methods.difference(self.settings.method)}
        files = (self.places.log, self.places.board) if self.group.writes else (None, None)
        log = Log(self.name, tags, *files, self.place.epoch, len(self.feed.sizes))
        try:
            with self.listening():
                while self.place.epoch < self.recipe.epochs:
                    self._epoch(log)
        finally:
            log.close()
        if self.places.keep_state:
            self._keep()
        metrics = self._metrics()
        self.group.wait()
        if self.group.writes and not self.places.keep_state:
            kept.unlink(missing_ok=True)
        return metrics

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within, q and k of student and teacher are gathered, where a term of the loss needs them."""
        pair = (self.model, self.master) if any(term.needs_heads for term in self.terms) else ()
        with ExitStack() as stack:
            self.heads = [stack.enter_context(gather(model)) for model in pair if model is not None]
            yield

    def _epoch(self, log: Log) -> None:
        """What is left of this epoch, its records, and its state."""
        place, steps = self.place, len(self.feed.sizes)
        self.wrapped.train()
        for batch in self.feed.rest_of_epoch():
            self.step(batch)
            place.step, place.batch = place.step + 1, place.batch + 1
            moment = self._moment(place.epoch + 1)
            for observer in self.observers:
                observer.on_step(moment)
            self._tell(steps)
            if self.places.every and place.step % self.places.every == 0:
                self._keep()
        place.epoch, place.batch = place.epoch + 1, 0
        place.loss = place.sums["loss"] / place.sums["images"]
        values = self._values()
        moment = self._moment(place.epoch)
        more = [record for observer in self.observers for record in observer.on_epoch(moment)]
        log.epoch(place.epoch, place.step, values, more)
        place.sums = {}
        if self.places.every is None and place.epoch < self.recipe.epochs:
            self._keep()

    def _moment(self, epoch: int) -> Moment:
        return Moment(self.model, self.name, self.place.step, epoch, self._done())

    def _done(self) -> float:
        """The share of the training that is done."""
        return self.place.step / (len(self.feed.sizes) * self.recipe.epochs)

    def step(self, batch: Batch) -> None:
        """One update of the weights."""
        share = self.group.weight(len(batch.indices), self.feed.sizes[self.place.batch])
        with watch.enough_memory(self.name, "a step", "batch", self.recipe, self.group.device), self._compiling():
            batch = batch.to(self.group.device)
            with self.precision.casting():
                logits, parts = self._forward(batch)
                loss = sum(parts[1:], parts[0]) * share
            self._count(batch, logits, loss, parts)
            self.rate(self.place.step)
            self.optimizer.zero_grad()
            self.precision.scaled(loss).backward()
            self._update()
        if self.averaged is not None:
            self.averaged.update(self.model, self.place.step + 1)

    @contextmanager
    def _compiling(self) -> Iterator[None]:
        """Within, a compiler that does not work is told in one line."""
        try:
            yield
        except RuntimeError as error:
            if not (self.recipe.compile and isinstance(error, torch._dynamo.exc.TorchDynamoException)):
                raise
            reason = str(error).splitlines()[0]
            raise HwsimError(
                f"{self.name}: compile must find a compiler that works, got {reason}; pass --set compile=false"
            ) from error

    def _forward(self, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """The logits that the model is judged by, and the weighted terms of the loss."""
        for tensors in self.heads:
            tensors.clear()
        out = self.wrapped(batch.images)
        logits, distilled = out if isinstance(out, tuple) else (out, None)
        step = Step(self.model, logits, batch.labels, batch.logits, images=batch.images, indices=batch.indices)
        step.progress, step.distilled_logits = self._done(), distilled
        if self.heads or (step.teacher_logits is None and any(term.needs_teacher for term in self.terms)):
            with torch.no_grad():
                said = self.master(batch.images)
            step.teacher_logits = said if step.teacher_logits is None else step.teacher_logits
        if self.heads:
            step.student_heads, step.teacher_heads = self.heads
        parts = [term.weight_at(step.progress) * term.value(step) for term in self.terms]
        return logits if distilled is None else (logits + distilled) / 2, parts

    def _count(self, batch: Batch, logits: Tensor, loss: Tensor, parts: Sequence[Tensor]) -> None:
        """Add the step to the epoch's sums; raises HwsimError where the loss of a process is not finite."""
        count = len(batch.indices)
        classes = batch.labels.argmax(1) if batch.labels.dim() > 1 else batch.labels
        right = (logits.argmax(1) == classes).double().mean().item() * count
        terms = [part.item() * count for part in parts]
        keys = ("loss", *(f"loss_{term.name}" for term in self.terms), "right", "images")
        found = self.group.sum([sum(terms), *terms, right, float(count)])
        sums = self.place.sums
        sums.update({key: sums.get(key, 0.0) + value for key, value in zip(keys, found, strict=True)})
        if not math.isfinite(found[0]):
            raise self._stopped("loss", loss.item(), watch.first_not_finite(self.model, batch.images))

    def _update(self) -> None:
        """Clip the gradient and take the step."""
        self.precision.unscale(self.optimizer)
        parameters = [parameter for parameter in self.model.parameters() if parameter.grad is not None]
        norm = nn.utils.get_total_norm([parameter.grad for parameter in parameters])
        value = parallel.whole(norm).item()
        self.place.sums["gradient"] = self.place.sums.get("gradient", 0.0) + (value if math.isfinite(value) else 0.0)
        if not math.isfinite(value) and not self.precision.skips:
            raise self._stopped("norm of the gradient", value, watch.bad_gradient(self.model))
        nn.utils.clip_grads_with_norm_(parameters, self.recipe.clip or math.inf, norm)
        self.precision.step(self.optimizer)

    def _stopped(self, what: str, value: float, where: str) -> HwsimError:
        at = f"step {self.place.step + 1}, epoch {self.place.epoch + 1}, batch {self.place.batch + 1}"
        first = f", first in {where}" if where else ""
        return HwsimError(
            f"{self.name}: {what} must be finite, got {value} at {at}{first}; lower the learning rate with --set lr=VALUE"
        )

    def _tell(self, steps: int) -> None:
        sums, place = self.place.sums, self.place
        loss, accuracy = (sums[key] / sums["images"] for key in ("loss", "right"))
        self.progress(
            Progress(place.step, steps * self.recipe.epochs, place.epoch + 1, self.recipe.epochs, loss, accuracy)
        )

    def _values(self) -> dict[str, float]:
        """The metrics of the epoch that has ended."""
        sums, place = self.place.sums, self.place
        losses = {key: value / sums["images"] for key, value in sums.items() if key.startswith("loss")}
        values = {**losses, "train_accuracy": sums["right"] / sums["images"]}
        values |= {"lr": self.optimizer.param_groups[0]["lr"], "gradient": sums["gradient"] / len(self.feed.sizes)}
        if "validation" in self.validation.splits and self._is_judged(place.epoch):
            values["validation_accuracy"] = self.validation.accuracy(self._judged(), "validation")
        return {**values, "seconds": self._seconds()}

    def _is_judged(self, epoch: int) -> bool:
        return bool(self.recipe.validate) and epoch % self.recipe.validate == 0

    def _judged(self) -> nn.Module:
        """The model that is judged and written."""
        return self.model if self.averaged is None else self.averaged.module

    def _seconds(self) -> float:
        """Of work in all, also before a kill."""
        return self.place.seconds + time.perf_counter() - self.began

    def _metrics(self) -> Metrics:
        """Judge the model on every split, write it, and say what it came to."""
        model = self._judged()
        scores = {split: self.validation.accuracy(model, split) for split in self.validation.splits}
        if self.recipe.parallel == "fsdp":
            model = start.filled(self.settings, state.of_model(model))
        if self.group.writes:
            checkpoint.save(model.eval(), self.name, self.places.out, self._description(scores))
        seconds, writes = self._seconds(), self.group.writes
        return Metrics(self.name, self.recipe.epochs, self.recipe.seed, seconds, self.place.loss, scores, writes)

    def _description(self, scores: Mapping[str, float]) -> dict[str, str]:
        """Metadata: how the checkpoint was made and how well it does."""
        changed = methods.difference(self.settings.method)
        return {
            "bits": str(self.settings.workload.bits),
            "method": self.settings.method.name,
            **({"switches": json.dumps(changed, sort_keys=True)} if changed else {}),
            "threads": str(torch.get_num_threads()),
            "processes": str(self.group.size),
            identity.TEACHER: self.teacher_weights,
            **{field.name: str(getattr(self.recipe, field.name)) for field in dataclasses.fields(self.recipe)},
            **{f"{split}_accuracy": f"{value:.6f}" for split, value in scores.items()},
        }

    def _identity(self) -> dict[str, str]:
        """All that must be the same when it goes on."""
        return {
            **self.settings.identity(),
            "data": self.feed.digest(),
            "processes": str(self.group.size),
            "threads": str(torch.get_num_threads()),
            identity.TEACHER: self.teacher_weights,
        }

    def _keep(self) -> None:
        """Write the state; every process must take part."""
        remembered, numbers = state.of_optimizer(self.optimizer, self.model)
        place = dataclasses.replace(self.place, seconds=self._seconds(), scaler=self.precision.state(), numbers=numbers)
        at = self.feed.position()
        parts = [
            state.named("model", state.of_model(self.model)),
            state.named("optimizer", remembered),
            state.named("random", state.random_states(self.group)),
            {"order.start": at.at_start, "order.now": at.now},
            *([state.named("averaged", state.of_model(self.averaged.module))] if self.averaged else []),
            *(state.named(f"observer.{i}", _on_cpu(o.state())) for i, o in enumerate(self.observers)),
        ]
        if self.group.writes:
            state.write(state.path_of(self.places.out), self._identity(), place, state.joined(parts))

    def _restore(self, path: Path) -> None:
        """Go on from the state in `path`."""
        self.place, tensors = state.read(path, self._identity())
        state.put_model(self.model, state.under("model", tensors))
        state.put_optimizer(self.optimizer, self.model, state.under("optimizer", tensors), self.place.numbers)
        state.put_random_states(state.under("random", tensors), self.group)
        self.precision.restore(self.place.scaler)
        if self.averaged is not None:
            state.put_model(self.averaged.module, state.under("averaged", tensors))
        for i, observer in enumerate(self.observers):
            if kept := state.under(f"observer.{i}", tensors):  # none of one that was not there
                observer.restore(kept)
        order = state.under("order", tensors)
        self.feed.go_to(Position(self.place.epoch, self.place.batch, order["start"], order["now"]))


def _on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: parallel.whole(tensor) for name, tensor in tensors.items()}
