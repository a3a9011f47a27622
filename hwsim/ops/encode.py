"""Encode (S14): codes of a uniform grid to codes of one that is not, by integer comparisons.

    index = number of thresholds <= (q - zero_point),   code = order[index]

with `order` the codes of `spec` by ascending value. It is a bank of comparators and a priority encoder; `lower` computes
the integer thresholds that give, for every input code, what Quantize gives for its real.
"""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from typing import Self

import numpy as np

from hwsim.op import Action, Array, Op, Specs, need
from hwsim.spec import BipolarSpec, IntegerSpec, QuantSpec, ShiftSpec, TensorSpec, describe


@dataclass(frozen=True, slots=True)
class Encode(Op):
    """Makes codes of the grid `spec`; `thresholds`: ascending, one less than it has values, for each of its channels in
    turn."""

    spec: ShiftSpec | BipolarSpec
    thresholds: tuple[int, ...]

    @classmethod
    def lower(cls, x: TensorSpec, spec: ShiftSpec | BipolarSpec) -> Self:
        """The thresholds for codes of `x`: the smallest q - zero_point whose real is at or above each boundary.

        A boundary below all reals has the smallest q - zero_point there is; one above all, one more than the largest.
        """
        low, high = _ends(_uniform(x))
        _need_target(spec)
        step = _uniform(x).scale[0]
        if isinstance(spec, BipolarSpec):
            return cls(spec, (0,) * len(spec.scale))

        def smallest(boundary: float, scale: float) -> int:
            return low + bisect_left(range(low, high + 1), boundary, key=lambda q: q * step / scale)

        return cls(spec, tuple(smallest(boundary, scale) for scale in spec.scale for boundary in spec.boundaries))

    def infer(self, inputs: Specs) -> TensorSpec:
        """The input's shape, with the codes' meaning."""
        (x,) = inputs
        low, high = _ends(_uniform(x))
        _need_target(self.spec)
        wanted = len(self.spec.scale) * (len(_order(self.spec)) - 1)
        need(len(self.thresholds) == wanted, f"{wanted} thresholds are needed", len(self.thresholds), "lower it again")
        for row in self._rows():
            inside = row[0] >= low and row[-1] <= high + 1 and bool((np.diff(row) >= 0).all())
            need(inside, f"thresholds ascend within {low}..{high + 1}", row.tolist(), "lower it again")
        return TensorSpec(x.shape, self.spec, x.batched)

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """Comparisons alone; channels one after another."""
        grid = _uniform(inputs[0])
        q = values[0].astype(np.int64) - grid.zero_point[0]
        codes, axis = _order(self.spec).astype(self.spec.container), self.spec.axis
        if axis is None:
            return np.asarray(codes[np.searchsorted(self._rows()[0], q, side="right")])
        result = np.empty(q.shape, dtype=self.spec.container)
        channels = zip(self._rows(), np.moveaxis(q, axis, 0), np.moveaxis(result, axis, 0), strict=True)
        for row, part, encoded in channels:
            encoded[...] = codes[np.searchsorted(row, part, side="right")]
        return result

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """One comparison per threshold of its channel and element, counted as `max`: the comparators work side by side."""
        comparisons = len(self.thresholds) // len(self.spec.scale)
        return Counter({Action("max", inputs[0].bits, inputs[0].bits): comparisons * out.elements})

    def _rows(self) -> Array:
        return np.array(self.thresholds, dtype=np.int64).reshape(len(self.spec.scale), -1)


def _uniform(x: TensorSpec) -> QuantSpec:
    """The grid of x; raises IllegalModel unless it is uniform with one scale."""
    uniform = isinstance(x.quant, QuantSpec) and x.quant.axis is None
    need(uniform, "encode takes codes of a uniform grid with one scale", x, "requantize it per tensor first")
    assert isinstance(x.quant, QuantSpec)
    return x.quant


def _ends(grid: QuantSpec) -> tuple[int, int]:
    return grid.qmin - grid.zero_point[0], grid.qmax - grid.zero_point[0]


def _need_target(spec: IntegerSpec) -> None:
    fits = isinstance(spec, ShiftSpec | BipolarSpec)
    need(fits, "encode makes codes of a grid that is not uniform", describe(spec), "use requantize")


def _order(spec: ShiftSpec | BipolarSpec) -> Array:
    """The codes by ascending value."""
    return spec.order() if isinstance(spec, ShiftSpec) else spec.codebook()
