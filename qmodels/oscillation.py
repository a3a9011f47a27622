"""Weight oscillation while training: which integer weight codes go back and forth between steps, and how often.

Per weight, with q its code after a step: it *flips* where q is not the code before, and *oscillates* where it flips against
the direction of its last flip. o = 1 where it oscillates in this step, else 0, and

    f = (1 - MOMENTUM) f + MOMENTUM o

is the frequency of its oscillation, a moving average from 0. A weight *is oscillating* where f is above THRESHOLD.
(Nagel et al., Overcoming Oscillations in Quantization-Aware Training, arXiv 2203.11086, section 4.1, whose momentum and
threshold these are; the VVTQ code counts by the same rule.)

Kept per weight: the code and the last direction (two bytes each) and f. A step costs one rounding of the weights and a few
comparisons. Records are `oscillating`, `oscillation_frequency` (the mean of f) and `flipped` (per step, mean over the epoch),
all fractions, at each layer and, node "", of all weights together.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hwsim.record import Record
from qmodels.quantizer import Quantizer
from qmodels.training.observer import Moment, Observer

MOMENTUM = 0.01
THRESHOLD = 0.005


@dataclass(slots=True)
class _Layer:
    """The statistics of one weight: tensors of its shape, and flips in the epoch so far."""

    codes: Tensor
    direction: Tensor
    frequency: Tensor
    flips: Tensor

    def to(self, device: torch.device) -> None:
        """Go there: what was restored comes from a file."""
        for key in self.__slots__:
            setattr(self, key, getattr(self, key).to(device))

    def step(self, codes: Tensor) -> None:
        """Take note of the codes after a step."""
        moved = (codes - self.codes).sign_()
        flipped = moved != 0
        self.frequency.mul_(1 - MOMENTUM).add_((moved * self.direction) < 0, alpha=MOMENTUM)
        self.direction = torch.where(flipped, moved, self.direction)
        self.flips += flipped.sum()
        self.codes = codes


class Oscillation(Observer):
    """An observer of all quantized weights; `tags` go into its records."""

    def __init__(self, tags: Mapping[str, str] | None = None) -> None:
        self.tags = dict(tags or {})
        self.layers: dict[str, _Layer] = {}
        self.steps = 0

    @torch.no_grad()
    def on_step(self, moment: Moment) -> None:
        """Compare the codes with those of the step before; the first step only takes them down."""
        for name, codes in _codes(moment.model):
            if name in self.layers:
                self.layers[name].to(codes.device)
                self.layers[name].step(codes)
            else:
                zeros = torch.zeros_like(codes)
                self.layers[name] = _Layer(codes, zeros, zeros.float(), zeros.new_zeros((), dtype=torch.int64))
        self.steps += 1

    @torch.no_grad()
    def on_epoch(self, moment: Moment) -> Iterable[Record]:
        """The records of the epoch; a new one begins."""
        about = {**self.tags, "epoch": str(moment.epoch), "step": str(moment.step)}
        steps, self.steps = max(self.steps, 1), 0
        sums, weights = torch.zeros(3, dtype=torch.float64), 0
        rows = []
        for name, layer in self.layers.items():
            counts = (layer.frequency > THRESHOLD).sum(), layer.frequency.sum(dtype=torch.float64), layer.flips / steps
            counted = torch.stack([count.double().cpu() for count in counts])
            layer.flips = torch.zeros_like(layer.flips)
            rows.append((name, counted / layer.codes.numel()))
            sums, weights = sums + counted, weights + layer.codes.numel()
        whole = [("", sums / weights)] if weights else []
        metrics = ("oscillating", "oscillation_frequency", "flipped")
        return [
            Record(moment.workload, metric, value, "fraction", node, source="measured", tags=tuple(about.items()))
            for node, values in [*whole, *rows]
            for metric, value in zip(metrics, values.tolist(), strict=True)
        ]

    def state(self) -> Mapping[str, Tensor]:
        """All statistics by layer, and the steps of the epoch so far."""
        kept = {"steps": torch.tensor(self.steps)}
        for name, layer in self.layers.items():
            kept.update({f"{key}.{name}": getattr(layer, key) for key in _Layer.__slots__})
        return kept

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave."""
        self.steps = int(state["steps"])
        names = [key.partition(".")[2] for key in state if key.startswith("codes.")]
        self.layers = {name: _Layer(*(state[f"{key}.{name}"].clone() for key in _Layer.__slots__)) for name in names}


def _codes(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Name and weight codes, int16, of each layer whose weights are quantized."""
    for name, module in model.named_modules():
        quantizer = getattr(module, "weight_quantizer", None)
        if isinstance(quantizer, Quantizer):
            yield name, quantizer.codes(module.weight).to(torch.int16)
