"""What a comparison may show at most: a share of codes that differ, disagreement of predictions, KL divergence."""

import math
from dataclasses import dataclass

from hwsim.errors import HwsimError
from qmodels.verification import MODES, VerifyReport

_WORDS = dict(zip(MODES, ("node by node", "free running"), strict=True))


@dataclass(frozen=True, slots=True)
class Tolerance:
    """None is no limit. max_mismatch and min_agreement are shares 0..1, max_kl is in nats; raises HwsimError."""

    max_mismatch: float | None = None
    min_agreement: float | None = None
    max_kl: float | None = None

    def __post_init__(self) -> None:
        limits = {"max_mismatch": (self.max_mismatch, 1), "min_agreement": (self.min_agreement, 1)}
        for name, (value, most) in {**limits, "max_kl": (self.max_kl, math.inf)}.items():
            if value is not None and not 0 <= value <= most:
                rule = "a share 0..1" if most == 1 else "0 or more"
                raise HwsimError(f"{name}: must be {rule}, got {value}; leave it out for no limit")

    def broken(self, report: VerifyReport) -> tuple[str, ...]:
        """One line for each limit that `report` exceeds: which one, and by how much."""
        lines = [self._mismatch(report, mode) for mode in report.modes]
        found = report.predictions["integer"]
        if self.min_agreement is not None and found.agreement < self.min_agreement:
            lines.append(
                f"min_agreement: a share of at least {self.min_agreement:g} of the predictions must agree, got "
                f"{found.agreement:g} ({found.agreeing:,} of {found.images:,}), {self.min_agreement - found.agreement:.3g} "
                "too few"
            )
        if self.max_kl is not None and found.kl > self.max_kl:
            lines.append(
                f"max_kl: the KL divergence must be at most {self.max_kl:g} nat, got {found.kl:.4g}, "
                f"{found.kl - self.max_kl:.3g} too much"
            )
        return tuple(line for line in lines if line)

    def _mismatch(self, report: VerifyReport, mode: str) -> str:
        compared, differ = report.compared(mode), report.mismatched(mode)
        if self.max_mismatch is None or (compared and differ / compared <= self.max_mismatch):
            return ""
        if not compared:
            return (
                f"max_mismatch: codes are needed to compare {_WORDS[mode]}, got none that both forms have; "
                "give --max-kl or --min-agreement"
            )
        share = differ / compared
        return (
            f"max_mismatch: a share of at most {self.max_mismatch:g} of the codes may differ, got {share:.3g} "
            f"{_WORDS[mode]} ({differ:,} of {compared:,}), {share - self.max_mismatch:.3g} too much; "
            f"the first is at {report.first_diverging(mode)}"
        )
