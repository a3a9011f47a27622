"""The records of a finished run of a suite: how well it does, and what it does inside (`qmodels.scores`), on test images.

Tags of each: suite, place (in the suite), label, seed, method, preset, wbits, abits. Metrics, beside what training says:

    run                                    the command line that trains it (text)
    run_accuracy (split), run_kl_divergence, run_agreement      of predictions, the latter two with the float teacher's
    run_loss, run_seconds                  of the last epoch; of the training
    code_entropy, head_distance            node an attention, tag operand q or k; see `qmodels.scores`
    map_distance                           node an attention
    scale                                  node a quantizer, tag bits: the mean of its scales

and, of a run with `details`, of the last attention:

    histogram                              shares of values of head 0, tags operand, stage (before, after), x (middle), width
    code_share                             share of each code there, tags operand, code, x (what it means)
    attention_share                        of the class token's attention, mean over heads, tags image, row, column
    pixel                                  the image itself, mean per patch in [-1, 1]: image, row, column
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hwsim.record import Record
from qmodels import data, scores
from qmodels.evaluation import logits
from qmodels.quantizer import Quantizer
from qmodels.scores import Attention
from workloads.suites import Run
from workloads.workload import Workload

BINS = 48
SHOWN = (8, 9)
"""Test images whose attention is kept: of the digits, an 8 and a 3."""
OPERANDS = ("q", "k")


@dataclass(frozen=True, slots=True, eq=False)
class Yardstick:
    """The test images of a workload, and what its float teacher makes of them."""

    images: Tensor
    labels: Tensor
    logits: Tensor
    attentions: tuple[Attention, ...]

    @classmethod
    def of(cls, workload: Workload, teacher: nn.Module, limit: int | None = None) -> "Yardstick":
        """By `teacher`, on the first `limit` test images."""
        images, labels = data.load(workload, "test", limit=limit)
        with torch.no_grad():
            return cls(images, labels, logits(teacher.eval(), images), scores.attentions(teacher, images))


def records(
    run: Run,
    suite: str,
    place: int,
    workload: Workload,
    model: nn.Module,
    yardstick: Yardstick,
) -> tuple[Record, ...]:
    """The records of `run`, the one at `place` of `suite`, which made `model`, but for what only its training knows."""
    tags = {
        "suite": suite,
        "place": place,
        "label": run.label,
        "seed": run.seed,
        "method": run.method,
        "preset": run.preset,
    }
    tags |= {"wbits": workload.bits.weights, "abits": workload.bits.activations}
    rows = [_Row("run", run.command(), ""), *_predictions(model, yardstick)]
    seen = scores.attentions(model, yardstick.images)
    for own, wanted in zip(seen, yardstick.attentions, strict=True):
        rows += _inside(own, wanted)
    rows += [_Row("scale", x, "", node, {"bits": bits}) for node, (bits, x) in scores.scales(model).items()]
    if run.details:
        rows += [*_values(seen[-1]), *_attended(seen[-1], yardstick)]
    return tuple(row.record(run.workload, tags) for row in rows)


@dataclass(frozen=True, slots=True)
class _Row:
    metric: str
    value: float | str
    unit: str
    node: str = ""
    tags: dict[str, object] | None = None

    def record(self, workload: str, tags: dict[str, object]) -> Record:
        said = tuple((key, str(value)) for key, value in {**tags, **(self.tags or {})}.items())
        value = self.value if isinstance(self.value, str) else _short(self.value)
        return Record(workload, self.metric, value, self.unit, self.node, source="measured", tags=said)


def _short(value: float) -> float:
    """Six digits: all that is drawn."""
    return float(f"{value:.6g}")


def _predictions(model: nn.Module, yardstick: Yardstick) -> Iterator[_Row]:
    with torch.no_grad():
        found = logits(model.eval(), yardstick.images).double()
    wanted = yardstick.logits.double()
    right = (found.argmax(1) == yardstick.labels).double().mean().item()
    kl = (wanted.softmax(1) * (wanted.log_softmax(1) - found.log_softmax(1))).sum(1).mean().item()
    yield _Row("run_accuracy", right, "fraction", tags={"split": "test"})
    yield _Row("run_kl_divergence", kl, "nat")
    yield _Row("run_agreement", (found.argmax(1) == wanted.argmax(1)).double().mean().item(), "fraction")


def _inside(own: Attention, wanted: Attention) -> Iterator[_Row]:
    yield _Row("map_distance", scores.map_distance(own, wanted), "nat", own.path)
    for operand, distance in scores.head_distance(own, wanted).items():
        yield _Row("head_distance", distance, "", own.path, {"operand": operand})
        codes = own.codes[operand]
        if codes is not None:
            yield _Row("code_entropy", scores.entropy(codes), "bit", own.path, {"operand": operand})


def _values(seen: Attention) -> Iterator[_Row]:
    for operand in OPERANDS:
        after = seen.heads[operand][:, 0]
        stages = {"before": seen.raw[operand][:, 0], "after": after}
        for stage, values in stages.items():
            edges = torch.linspace(*_range(values), BINS + 1)
            shares = scores.histogram(values, edges) / values.numel()
            width = (edges[1] - edges[0]).item()
            for x, share in zip((edges[:-1] + width / 2).tolist(), shares.tolist(), strict=True):
                tags = {"operand": operand, "stage": stage, "x": _short(x), "width": _short(width)}
                yield _Row("histogram", share, "fraction", seen.path, tags)
        quantizer, codes = seen.grid[operand], seen.codes[operand]
        if quantizer is not None and codes is not None:
            for code in range(quantizer.qmin, quantizer.qmax + 1):
                share = (codes[:, 0] == code).double().mean().item()
                tags = {"operand": operand, "code": code, "x": _short(_meaning(quantizer, code))}
                yield _Row("code_share", share, "fraction", seen.path, tags)


def _range(values: Tensor) -> tuple[float, float]:
    """Where all but a few of the values lie, 1 in 1000 on each side."""
    ordered = values.flatten().double().sort().values
    beyond = math.floor(len(ordered) / 1000)
    low, high = ordered[beyond].item(), ordered[-1 - beyond].item()
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _meaning(quantizer: Quantizer, code: int) -> float:
    """The real number that `code` stands for in head 0: S1."""
    zero_point = quantizer.zero_point.detach().round()[0].item()
    return quantizer.positive_scale()[0].item() * (code - min(max(zero_point, quantizer.qmin), quantizer.qmax))


def _attended(seen: Attention, yardstick: Yardstick) -> Iterator[_Row]:
    """The class token's attention to each patch, and what is to be seen there; nothing where patches fill no square."""
    tokens = seen.map.shape[-1] - 1
    side = math.isqrt(tokens)
    if side * side != tokens:
        return
    for image in [i for i in SHOWN if i < len(yardstick.images)]:
        shares = seen.map[image, :, 0, 1:].mean(0).reshape(side, side)
        pixels = nn.functional.adaptive_avg_pool2d(yardstick.images[image], side).mean(0)
        for metric, unit, cells in (("attention_share", "fraction", shares), ("pixel", "", pixels)):
            yield from _cells(metric, unit, cells, image)


def _cells(metric: str, unit: str, cells: Tensor, image: int) -> Iterator[_Row]:
    rows: Sequence[Sequence[float]] = cells.tolist()
    for r, row in enumerate(rows):
        for c, value in enumerate(row):
            yield _Row(metric, value, unit, tags={"image": image, "row": r, "column": c})
