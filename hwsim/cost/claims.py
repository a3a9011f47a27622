"""Deciding a claim: what its rule gives, how far that is from the printed figure, and what that means.

A claim (`workloads.claims`) is priced on rows of work of the model that it names, at its widths, the first and the last
layer at 8 bits; or it is arithmetic of printed numbers. Norms that a method puts on q and k are left out, as papers leave
them out, unless the rule weighs them. Verdicts, by the decimals that are printed (6.14 means 6.135 up to 6.145):
  exact            ours is the printed figure, in all digits
  within rounding  ours, rounded half up, is the printed figure
  truncated        ours with the rest of the digits dropped is the printed figure
  off              none of these
  measurement, undecided   no formula decides it
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

from hwsim import catalog
from hwsim.cost import formula
from hwsim.cost.convention import Convention
from hwsim.cost.layers import rows_of
from hwsim.cost.operations import Operations
from hwsim.cost.table import entries, resolve, tally
from hwsim.cost.work import Rows, published_parameters, with_bits
from hwsim.errors import HwsimError, UnknownName
from hwsim.record import Record
from hwsim.spec import FLOAT_BITS
from workloads import models, topologies
from workloads.claims import BYTES, UNITS, Claim

METRIC = "claim"
"""The metric of the records of claims; the claim's own metric is a tag."""

VERDICTS = ("exact", "within rounding", "truncated", "off", "measurement", "undecided")
AGREEING = VERDICTS[:3]
"""Verdicts that say that the rule gives the printed figure."""

_DIGITS = 14


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of `claim`: `ours` in its unit, None where no formula decides it, and one of VERDICTS."""

    claim: Claim
    ours: float | None
    verdict: str

    @property
    def error(self) -> float | None:
        """Ours over the printed figure, less 1."""
        return None if self.ours is None else self.ours / self.claim.number - 1

    def record(self) -> Record:
        """One record: its value is ours, or the printed figure where there is no other; all else are tags."""
        claim = self.claim
        tags = {
            "source": claim.source,
            "model": claim.model,
            "wbits": claim.wbits,
            "abits": claim.abits,
            "metric": claim.metric,
            "printed": claim.value,
            "printed_status": claim.status,
            "kind": claim.kind,
            "stated": claim.convention,
            "convention": claim.rule,
            "verdict": self.verdict,
            "relative_error": "" if self.error is None else f"{self.error:.6g}",
            "note": claim.note,
        }
        value = claim.number if self.ours is None else self.ours
        source = claim.reading or "inferred"
        if not claim.decided:
            source = "measured" if self.verdict == "measurement" else claim.status
        workload = claim.subject[0] or claim.model
        return Record(workload, METRIC, value, claim.unit, source=source, tags=tuple(tags.items()))


def decide(claim: Claim, traced: Mapping[str, Rows]) -> Decision:
    """The decision on `claim`; `traced` has quantized rows of the models of `needed`, at whatever widths.

    Raises HwsimError, which names the claim, where its rule cannot be applied.
    """
    if not claim.decided:
        return Decision(claim, None, claim.kind)
    try:
        ours = _ours(claim, traced)
        return Decision(claim, ours, verdict(ours, claim))
    except HwsimError as error:
        raise type(error)(f"{claim}: {error}") from None
    except (ArithmeticError, ValueError) as error:
        raise HwsimError(f"{claim}: {claim.rule} must give a number, got {error}; mend the rule") from None


def decide_all(claims: Iterable[Claim], traced: Mapping[str, Rows]) -> tuple[Decision, ...]:
    """The decision on each of `claims`, in their order."""
    return tuple(decide(claim, traced) for claim in claims)


def needed(claims: Iterable[Claim]) -> tuple[str, ...]:
    """The models that must be traced to decide `claims`, each once; raises UnknownName, which names the claim, for one that
    nobody knows."""
    found: dict[str, None] = {}
    for claim in claims:
        if claim.decided and claim.of:
            name, *_ = claim.subject
            if name not in topologies.names():
                try:
                    found[models.find(name).name] = None
                except UnknownName as error:
                    raise UnknownName(f"{claim}: {error}") from None
    return tuple(found)


def verdict(ours: float, claim: Claim) -> str:
    """Whether `ours` is the printed figure: exactly, rounded, or with the rest dropped."""
    number = Decimal(f"{ours:.{_DIGITS}g}")
    printed = Decimal(claim.value.split()[-1])
    step = Decimal(1).scaleb(-claim.decimals)
    if number == printed:
        return "exact"
    if number.quantize(step, ROUND_HALF_UP) == printed:
        return "within rounding"
    return "truncated" if number.quantize(step, ROUND_DOWN) == printed else "off"


def counts(decisions: Sequence[Decision]) -> dict[str, int]:
    """How many there are of each verdict."""
    return {name: sum(decision.verdict == name for decision in decisions) for name in VERDICTS}


def _ours(claim: Claim, traced: Mapping[str, Rows]) -> float:
    if claim.kind == "arithmetic":
        return formula.parse(claim.rule, ())({})
    rows = _rows(claim, traced)
    kind, _, group = claim.kind.partition(":")
    if kind == "parameters":
        return published_parameters(rows)
    convention = _convention(claim.rule)
    _check_unit(claim, convention)
    if not (isinstance(convention, Operations) and convention.elementwise.qk_norm):
        rows = tuple(row for row in rows if row.role != "qk_norm")
    if kind == "ratio":
        floats, quantized = entries(rows, convention)
        return floats / quantized
    table = tally(rows, convention)
    groups = table.by_group()
    if group and group not in groups:
        raise catalog.unknown("group", group, groups)
    total = groups[group] if group else table.entry
    return total / UNITS[claim.unit]


def _check_unit(claim: Claim, convention: Convention) -> None:
    """Raise HwsimError where what the rule gives is no figure in the claim's unit."""
    if claim.kind == "ratio":
        fits, wanted = claim.unit == "x", "x, a ratio"
    elif convention.unit == "byte":
        fits, wanted = claim.unit in BYTES, "bytes, MB or MiB"
    else:
        fits = claim.unit not in (*BYTES, "x", "%", "FPS", "param")
        wanted = f"{convention.unit}, or G for 10^9 of them"
    if not fits:
        raise HwsimError(
            f"unit must be that of the rule, {wanted}, got {claim.unit}; mend the unit, or name another rule"
        )


def _convention(rule: str) -> Convention:
    """`name option=value ...` as a convention."""
    name, *words = rule.split()
    pairs = [word.partition("=") for word in words]
    return resolve(name, {key: value for key, _, value in pairs})


def _rows(claim: Claim, traced: Mapping[str, Rows]) -> Rows:
    """The rows of the claim's model at its widths; the activations' are the weights' where only those are named, and a model
    of which none are named is the float model."""
    name, wbits, abits = claim.subject
    wbits, abits = wbits or claim.wbits, abits or claim.abits or wbits or claim.wbits
    topology = topologies.find(name) if name in topologies.names() else None
    if topology and all(layer.bits for layer in topology.layers):
        return rows_of(topology, FLOAT_BITS, FLOAT_BITS)  # each layer at its own
    if not wbits and claim.kind != "ratio":
        wbits = abits = str(FLOAT_BITS)
    if not (wbits + abits).isdigit():
        got = f"{wbits} and {abits}" if wbits else "none"
        raise HwsimError(f"widths must be numbers, got {got}; write `{name} at w4a4` in the column of")
    if topology:
        return rows_of(topology, int(wbits), int(abits))
    if name not in traced:
        raise HwsimError(f"rows of {name} are needed, got {', '.join(traced) or 'none'}; trace it too")
    return with_bits(traced[name], int(wbits), int(abits))
