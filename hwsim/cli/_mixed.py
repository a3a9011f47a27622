"""What `hwsim search` answers: the widths of each layer, what they cost beside uniform ones, and how good they are."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hwsim.accel.layer_bits import Widths
from hwsim.accel.mixed.problem import TIE
from hwsim.accel.mixed.search import UNITS, Found, Setting
from hwsim.accel.sensitivities import Group
from hwsim.record import Record
from reports.table import Table
from workloads.bits import Bits

FOUND = "found"
"""Name of the setting that was found, beside w8a8 and the like."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found for `model` on `accelerator` within `budgets`, with losses in `unit`, and the `uniform` settings."""

    model: str
    accelerator: str
    tags: Mapping[str, str]
    unit: str
    budgets: Mapping[str, float]
    groups: Sequence[Group]
    found: Found
    uniform: Mapping[Widths, Setting]

    def about(self) -> str:
        """Where the bits are from, for their file."""
        within = " and ".join(f"{thing} {budget:g} {UNITS[thing]}" for thing, budget in self.budgets.items())
        return f"{self.model} on {self.accelerator} within {within}, {self.tags['method']}, seed {self.tags['seed']}"

    def settings(self) -> dict[str, Setting]:
        """The setting that was found and the uniform ones, by name."""
        return {FOUND: self.found.setting} | {_name(widths): setting for widths, setting in self.uniform.items()}

    def tables(self) -> Iterator[Table]:
        """The layers with their widths, then the settings with what they cost."""
        loss = f"loss [{self.unit}]" if self.unit else "loss"
        rows = []
        for group in self.groups:
            widths = self.found.setting.widths[group.products[0]]
            lost = group.losses[group.choices.index(widths)]
            rows.append((group.name, str(widths[0]), str(widths[1]), f"{lost:.3g}"))
        note = "Bits of the first and of the second operand: activations and weights, or both activations in attention."
        yield Table(f"{self.about()}: widths", ("layer", "a bits", "w bits", loss), tuple(rows), note)
        columns = ("setting", loss, *(f"{thing} [{unit}]" for thing, unit in UNITS.items()), "holds")
        settings = [
            (name, f"{s.loss:.4g}", *(f"{s.amounts[thing]:.4g}" for thing in UNITS), "yes" if self._holds(s) else "no")
            for name, s in self.settings().items()
        ]
        budgets = ("budget", "", *(f"{self.budgets[t]:.4g}" if t in self.budgets else "" for t in UNITS), "")
        note = "Of the whole model: latency of a batch, energy of one image; holds: is within all budgets."
        yield Table(f"{self.model} on {self.accelerator}", columns, (*settings, budgets), note)

    def sentences(self) -> Iterator[str]:
        """How near to the best it is."""
        least, loss = self.found.least_loss, self.found.setting.loss
        above = f"; this one loses {100 * (loss / least - 1):.1f} % more" if loss > least > 0 else ""
        yield f"As far as losses and costs add up, no setting within these budgets loses less than {least:.4g}{above}."

    def records(self) -> list[Record]:
        """What each setting loses and costs, and the widths of each product."""
        records = []
        for name, setting in self.settings().items():
            tags = self._tags(name)
            values = {"sensitivity": (setting.loss, self.unit)}
            values |= {thing: (setting.amounts[thing], unit) for thing, unit in UNITS.items()}
            records += [
                Record(self.model, metric, value, unit, "", self.accelerator, tags=tags)
                for metric, (value, unit) in values.items()
            ]
        tags = (*self._tags(FOUND), ("level", "node"))
        for product, widths in self.found.setting.widths.items():
            records += [
                Record(self.model, metric, bits, "bit", product, self.accelerator, tags=tags)
                for metric, bits in zip(("a_bits", "w_bits"), widths, strict=True)
            ]
        return records

    def summary(self) -> dict[str, Any]:
        """What machines ask first; `bits` is as in a bits file."""
        return {
            "model": self.model,
            "accelerator": self.accelerator,
            **self.tags,
            "budgets": dict(self.budgets),
            "bits": {product: list(widths) for product, widths in self.found.setting.widths.items()},
            "loss": self.found.setting.loss,
            "least_loss": self.found.least_loss,
            **self.found.setting.amounts,
        }

    def _tags(self, setting: str) -> tuple[tuple[str, str], ...]:
        bits = {_name(widths): widths for widths in self.uniform}.get(setting, ("mixed", "mixed"))
        widths = {"abits": str(bits[0]), "wbits": str(bits[1])}
        return tuple({**self.tags, **widths, "setting": setting}.items())

    def _holds(self, setting: Setting) -> bool:
        return all(setting.amounts[thing] <= budget * (1 + TIE) for thing, budget in self.budgets.items())


def _name(widths: Widths) -> str:
    return Bits(widths[1], widths[0]).name
