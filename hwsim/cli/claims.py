"""`hwsim claims`: published figures, and what their counting rules give."""

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwsim import console
from hwsim.cli._options import Json
from hwsim.cli._output import print_tables
from hwsim.cli.audit import traced

if TYPE_CHECKING:
    from workloads.claims import Claim

EXAMPLE = "hwsim claims --source HAWQ-V3"


def claims(
    source: Annotated[
        str, typer.Option("--source", help="Only those with a word in their source that begins so.")
    ] = "",
    model: Annotated[str, typer.Option("--model", help="Only those of models with such a word.")] = "",
    verdict: Annotated[
        str, typer.Option("--verdict", help="Only: exact, within rounding, truncated, off, measurement, undecided.")
    ] = "",
    decided: Annotated[bool, typer.Option("--decided", help="Only those that a formula decides.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Also figures of our own, kept to see that none moves.")
    ] = False,
    file: Annotated[Path | None, typer.Option("--file", help="Claims of your own, as CSV, instead.")] = None,
    json: Json = None,
) -> None:
    """Published figures: printed value, ours, relative error, counting rule, who says that it applies.

    A file of your own is CSV with the columns source, model, wbits, abits, metric, value (as printed), unit, and for what a
    rule decides kind (total, ratio, arithmetic), of (a model) and rule (a convention with options, or an expression).
    """
    from hwsim.cost.claims import VERDICTS, counts, decide_all
    from reports import verdicts
    from workloads.claims import read, shipped

    if verdict:
        _check_known("verdict", verdict, VERDICTS)
    found = read(file) if file else tuple(claim for claim in shipped() if everything or not claim.own)
    chosen = tuple(claim for claim in _chosen(found, source, model) if _wanted(claim, verdict, decided))
    start = time.perf_counter()
    rows = _trace(chosen)
    decisions = [d for d in decide_all(chosen, rows) if verdict in ("", d.verdict)]
    records = [decision.record() for decision in decisions]
    if json != "-":
        print_tables(records, "claims", "notes")
        console.say(verdicts.summary(records) or "No figure is left.")
        if rows:
            console.say(f"{len(rows)} models traced in {time.perf_counter() - start:.0f} s.")
    if json:
        console.write_json(json, records, {"claims": len(records), "verdicts": counts(decisions)})


def _trace(chosen: "tuple[Claim, ...]") -> dict[str, Any]:
    """Quantized rows of work of each model that the claims need, each traced once."""
    from hwsim.cost.claims import needed

    names = needed(chosen)
    if not names:
        return {}
    import workloads

    return traced([workloads.find(f"{name}_w4a4") for name in names])


def _wanted(claim: "Claim", verdict: str, decided: bool) -> bool:
    """Whether `claim` may have this verdict, so that no model is traced in vain."""
    if claim.decided:
        return verdict not in ("measurement", "undecided")
    return not decided and verdict in ("", claim.kind)


def _chosen(found: "tuple[Claim, ...]", source: str, model: str) -> "tuple[Claim, ...]":
    """The claims that are asked for; raises UnknownName where no source or model has words that begin so in its name."""
    kept = found
    for field, text in (("source", source), ("model", model)):
        asked = re.compile(rf"(?<!\w){re.escape(text)}", re.IGNORECASE)
        chosen = tuple(claim for claim in kept if asked.search(getattr(claim, field)))
        if not chosen:
            _check_known(field, text, dict.fromkeys(getattr(claim, field) for claim in kept if getattr(claim, field)))
        kept = chosen
    return kept


def _check_known(kind: str, name: str, known: Any) -> None:
    from hwsim import catalog

    if name not in known:
        raise catalog.unknown(kind, name, known)
