"""What an allocation of widths says of itself: a table of modules, and its loss and costs beside those of one width."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hwsim.accel.mixed.search import Setting
from qmodels.perturbations import Module

CONVENTIONS = {"size_mb": "size_bidet", "bops_g": "bitops_wa"}
"""The rule of the cost model by which each thing that can have a budget is counted."""
UNITS = {"size_mb": "MB", "bops_g": "G BOPs"}
"""Their units: 10^6 bytes, and 10^9 bit operations of one image."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was found for a workload by a method: `widths` of the `modules` by name, and what the `found` setting loses and
    costs beside settings of one width (`uniform`)."""

    workload: str
    method: str
    modules: tuple[Module, ...]
    widths: Mapping[str, int]
    found: Setting
    uniform: Mapping[int, Setting]
    budgets: Mapping[str, float]

    columns = ("module", "kind", "nuclear norm", "bits", "perturbation", "omega")

    def rows(self) -> tuple[tuple[str, ...], ...]:
        """One row of texts per module, under `columns`."""
        rows = []
        for module in self.modules:
            width, place = self.widths[module.place.name], module.place
            figures = (
                f"{module.nuclear:.4g}",
                str(width),
                f"{module.squared[width]:.4g}",
                f"{module.omega(width):.4g}",
            )
            rows.append((place.name, place.kind, *figures))
        return tuple(rows)

    def lines(self) -> tuple[str, ...]:
        """What it costs and loses, beside one width for all modules."""
        least = "; ".join(f"{thing} at most {budget:g} {UNITS[thing]}" for thing, budget in self.budgets.items())
        told = [f"{self.workload}, {self.method}: {least}"]
        settings = {"found": self.found} | {f"{width} bits": setting for width, setting in self.uniform.items()}
        for name, setting in settings.items():
            costs = ", ".join(f"{amount:.6g} {UNITS[thing]}" for thing, amount in setting.amounts.items())
            told.append(f"{name}: omega {setting.loss:.4g}, {costs}")
        return tuple(told)

    def as_json(self) -> dict[str, Any]:
        """The same as a JSON object; `bits` as in a bits file."""
        return {
            "workload": self.workload,
            "method": self.method,
            "conventions": dict(CONVENTIONS),
            "budgets": dict(self.budgets),
            "omega": self.found.loss,
            **self.found.amounts,
            "modules": [dict(zip(self.columns, row, strict=True)) for row in self.rows()],
            "bits": {product: list(pair) for product, pair in self.found.widths.items()},
        }

    def __str__(self) -> str:
        """A table, and the lines."""
        table = [self.columns, *self.rows()]
        wide = [max(len(row[i]) for row in table) for i in range(len(self.columns))]
        ruled = ["  ".join(f"{text:<{n}}" for text, n in zip(row, wide, strict=True)).rstrip() for row in table]
        return "\n".join((*ruled, "", *self.lines()))
