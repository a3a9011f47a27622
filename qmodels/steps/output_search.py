"""OutputSearch: grids by what a product makes of them, not by the values that they round.

Both operands of a site start with the grid of their whole range. Then by turns one is fixed and the other gets, of
`candidates` grids whose ranges are `low` to `high` of the whole one, the one whose output is nearest to the float output by
`metric` (`qmodels.metrics`): weights first, then inputs, until neither changes, `rounds` times at most. What shares a scale
is searched together, what does not, apart: output channels, thirds of a qkv layer, heads. At attention scores `gamma` times
the metric `ranking` is added. Sources: PTQ-ViT (arXiv 2106.14156), PTQ4ViT (arXiv 2111.12293).

A turn takes the time of as many products as there are candidates. So they are taken at `rows` rows of each image
(`qmodels.ptq.rows`), for a DeiT a twelfth of its 197 at the default. Ranges are of all rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from hwsim.errors import HwsimError
from qmodels import metric as metrics
from qmodels.candidates import MOST, Candidates, of, reals
from qmodels.layers.quant_conv2d import QuantConv2d
from qmodels.metric import Metric
from qmodels.metrics.ranking import Ranking
from qmodels.ptq.rows import Rows, visit
from qmodels.ptq.site import Site
from qmodels.ptq.unit import Kind, Unit
from qmodels.quantizer import Quantizer
from qmodels.step import STREAMS, Step

SCORES = "qk"
"""What the product that makes attention scores is called (`qmodels.attentions`)."""
CHUNK = 1 << 22
"""Values of operands and outputs that are made at once."""


@dataclass(frozen=True, slots=True)
class OutputSearch(Step):
    """rows: 0 is all. theta, pairs: `qmodels.metrics.ranking`. stream: of inputs; outputs are the float model's."""

    metric: str = "pearson"
    candidates: int = 100
    low: float = 0.5
    high: float = 1.2
    rounds: int = 20
    rows: int = 16
    gamma: float = 0.0
    theta: float = 0.2
    pairs: int = 64
    stream: Kind = "quantized"

    name = "output_search"
    limits = MappingProxyType(
        {
            "candidates": (1, MOST),
            "low": (0, math.inf),
            "high": (0, math.inf),
            "rounds": (1, math.inf),
            "rows": (0, math.inf),
            "gamma": (0, math.inf),
            "theta": (0, math.inf),
            "pairs": (1, math.inf),
            "stream": STREAMS,
        }
    )

    def __post_init__(self) -> None:
        Step.__post_init__(self)
        metrics.find(self.metric)
        if not 0 < self.low <= self.high:
            raise HwsimError(
                f"output_search: low must be above 0 and at most high, got {self.low} and {self.high}; "
                "pass --set output_search.low=VALUE"
            )

    def run(self, unit: Unit) -> None:
        """Set the grids of both operands of each site that are not calibrated yet."""
        metric = metrics.find(self.metric)
        ranking = Ranking(self.theta, self.pairs, int(torch.randint(2**31, (), generator=unit.generator)))
        gradients = metrics.slopes(metric, unit, self.name)
        paths = [site.path for site in unit.sites]

        def search(site: Site, rows: Rows, inputs: tuple[Tensor, ...], wanted: Tensor) -> None:
            terms = {metric: 1.0}
            if self.gamma and site.path.rpartition(".")[2] == SCORES:
                terms[ranking] = self.gamma
            slopes = rows.output(site, gradients[site.path]) if gradients else None
            Turns(self, terms, site, rows, inputs, wanted, slopes).run()
            unit.told((paths.index(site.path) + 1) / len(paths))

        visit(unit, self.stream, self.rows, search)


class Turns:
    """The search of `step` at one site, by a sum of `terms`: the weight of each metric."""

    def __init__(
        self,
        step: OutputSearch,
        terms: dict[Metric, float],
        site: Site,
        rows: Rows,
        inputs: tuple[Tensor, ...],
        wanted: Tensor,
        gradients: Tensor | None = None,
    ) -> None:
        self.step, self.terms, self.site, self.rows = step, terms, site, rows
        self.wanted, self.gradients = wanted, gradients
        self.values = rows.operands(site, inputs)
        self.quantizers = [quantizer for _, quantizer in site.operands]
        self.found: list[Candidates | None] = []
        for quantizer, x in zip(self.quantizers, site.values(inputs), strict=True):
            waiting = isinstance(quantizer, Quantizer) and not quantizer.calibrated
            self.found.append(of(quantizer, x, step.candidates, step.low, step.high) if waiting else None)

    @torch.no_grad()
    def run(self) -> None:
        """By turns, until nothing changes."""
        for _ in range(self.step.rounds):
            changed = [self.turn(k, found) for k, found in ((1, self.found[1]), (0, self.found[0])) if found]
            if not any(changed):
                break

    def turn(self, k: int, found: Candidates) -> bool:
        """Search the grid of operand `k`; whether it is another."""
        operands: list[Tensor] = [reals(q, x) for q, x in zip(self.quantizers, self.values, strict=True)]
        parts = parts_of(self.site, k, found.quantizer)
        wanted = apart(self.wanted, self.wanted.dim(), parts)
        gradients = None if self.gradients is None else apart(self.gradients, self.wanted.dim(), parts)
        most = max(1, CHUNK // max(self.values[k].numel(), self.wanted.numel()))
        scores = []
        for start in range(0, found.count, most):
            operands[k] = found.rounded(self.values[k], start, min(start + most, found.count))
            got = apart(self.rows.product(self.site, operands[0], operands[1]), self.wanted.dim(), parts)
            scores.append(sum(weight * metric(got, wanted, gradients) for metric, weight in self.terms.items()))
        return found.take(torch.cat(scores))


def parts_of(site: Site, k: int, quantizer: Quantizer) -> int:
    """How many parts of the site's output hang on a scale of operand `k` of their own: 1 where all hang on each."""
    if isinstance(site.module, QuantConv2d) and k == 0 and quantizer.axis is not None:
        raise HwsimError(
            f"output_search: the input of a convolution must have one scale, got one per index of axis {quantizer.axis}; "
            "use ranges"
        )
    apart = quantizer.axis == 0 and k == 1 if site.is_layer else quantizer.axis == 1
    return quantizer.scale.numel() if apart else 1


def apart(output: Tensor, axes: int, parts: int) -> Tensor:
    """Output rows of `axes` axes, or candidates of such, as metrics take them: (..., S, B, M, N)."""
    if axes == 3:  # a layer's, whose channels hang on scales
        return output.unflatten(-1, (parts, -1)).movedim(-2, -4)
    if parts > 1:  # a product's, whose heads do
        return output.movedim(-3, -4)
    return output.flatten(1 - axes, -2).unsqueeze(-4)
