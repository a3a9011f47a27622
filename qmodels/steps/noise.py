"""Noise: a fixed number N per input channel that makes a linear layer's output better (NoisyQuant, arXiv 2211.16056).

Where values of a channel lie close together, rounding moves all of them one way; N moves each channel to another place of
its bin, and the layer takes W_q N off again (quantizer `noisy`). N is n times a draw of U(-1, 1), with the n, among
`candidates` from 0 to `high` steps of the grid, whose output is nearest to the float one by `metric`. The grid stays as it
was found. With `shape` normal, 2 g - 1 is drawn with g of N(0, 1) instead; with `means`, so many constants within a step on
either side are tried before, and added to N: both are the released code's, not the paper's.

Where a LayerNorm feeds the layer alone, N goes into its offset afterwards, and W_q N into the layer's bias, so that nothing
is left to do at run time; elsewhere one addition per value is left before the rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from qmodels import metric as metrics
from qmodels.candidates import MOST, reals
from qmodels.layers.quant_linear import QuantLinear
from qmodels.metric import Metric
from qmodels.ptq.rows import Rows, visit
from qmodels.ptq.site import Site
from qmodels.ptq.unit import Kind, Unit
from qmodels.quantizers.noisy import Noisy
from qmodels.reparametrization import Map, into_norm, shift_bias
from qmodels.step import STREAMS, Step

SHAPES = ("uniform", "normal")


@dataclass(frozen=True, slots=True)
class Noise(Step):
    """rows, stream: as of `output_search`. fold: whether N goes into a LayerNorm."""

    metric: str = "squared"
    candidates: int = 40
    high: float = 2.0
    shape: str = "uniform"
    means: int = 0
    rows: int = 16
    fold: bool = True
    stream: Kind = "quantized"

    name = "noise"
    limits = MappingProxyType(
        {
            "candidates": (1, MOST),
            "high": (0, math.inf),
            "shape": SHAPES,
            "means": (0, MOST),
            "rows": (0, math.inf),
            "stream": STREAMS,
        }
    )

    def __post_init__(self) -> None:
        Step.__post_init__(self)
        metrics.find(self.metric)

    def run(self, unit: Unit) -> None:
        """Give noise to the `noisy` inputs of linear layers of the unit, whose grids are there."""
        metric = metrics.find(self.metric)
        gradients = metrics.slopes(metric, unit, self.name)

        def search(site: Site, rows: Rows, inputs: tuple[Tensor, ...], wanted: Tensor) -> None:
            quantizer = site.operands[0][1]
            if isinstance(site.module, QuantLinear) and isinstance(quantizer, Noisy):
                slopes = rows.output(site, gradients[site.path]) if gradients else None
                self._search(Line(metric, site, rows, inputs, wanted, slopes), quantizer, unit.generator)

        visit(unit, self.stream, self.rows, search)
        for site in unit.sites if self.fold else ():
            source = unit.sources.get(f"{site.path}.input_quantizer")
            if isinstance(site.module, QuantLinear) and source is not None and source.norm:
                fold(site.module, unit.model.get_submodule(source.norm))

    def _search(self, line: Line, quantizer: Noisy, generator: torch.Generator) -> None:
        step, noise = quantizer.positive_scale(), torch.zeros_like(quantizer.offset)
        if self.means:
            noise = line.best([noise, *(noise + step * f for f in torch.linspace(-1, 1, self.means).tolist())])
        drawn = self.drawn(len(noise), generator).to(noise)
        amounts = torch.linspace(0, self.high, self.candidates + 1).tolist()
        quantizer.set_noise(line.best([noise + drawn * step * n for n in amounts]))

    def drawn(self, channels: int, generator: torch.Generator) -> Tensor:
        """Noise of n = 1, (channels,)."""
        if self.shape == "normal":
            return 2 * torch.randn(channels, generator=generator) - 1
        return 2 * torch.rand(channels, generator=generator) - 1


class Line:
    """A line search over noise of one layer's input."""

    def __init__(
        self,
        metric: Metric,
        site: Site,
        rows: Rows,
        inputs: tuple[Tensor, ...],
        wanted: Tensor,
        gradients: Tensor | None,
    ) -> None:
        self.metric, self.site, self.rows = metric, site, rows
        self.a, b = rows.operands(site, inputs)
        self.b = site.module.weight_quantizer(b)
        self.wanted, self.gradients = wanted[None], None if gradients is None else gradients[None]

    @torch.no_grad()
    def best(self, noises: Sequence[Tensor]) -> Tensor:
        """That of `noises` with the greatest score; of equals the first."""
        quantizer, scores = self.site.module.input_quantizer, []
        for noise in noises:
            quantizer.set_noise(noise)
            got = self.rows.product(self.site, reals(quantizer, self.a), self.b)
            scores.append(self.metric(got[None, None], self.wanted, self.gradients).item())
        return noises[scores.index(max(scores))]


@torch.no_grad()
def fold(layer: QuantLinear, norm: torch.nn.LayerNorm) -> bool:
    """Put the noise at the input of `layer` into `norm`, which feeds nothing else, and the bias; whether there is any.

    The codes of the layer's input stay what they are.
    """
    quantizer = layer.input_quantizer
    if not isinstance(quantizer, Noisy) or not quantizer.offset.any():
        return False
    shift = -quantizer.offset.double()
    quantizer.set_noise(torch.zeros_like(quantizer.offset))
    shift_bias(layer, shift, layer.weight_quantizer(layer.weight))
    into_norm(norm, Map(torch.ones_like(shift), torch.zeros_like(shift), shift))
    return True
