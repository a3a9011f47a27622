"""The suite of the Q-ViT paper: its efficiency claims audited, and integers against fake quant on real images."""

from collections.abc import Mapping
from typing import Any

import workloads
from hwsim import console
from hwsim.accel.program import Program, program
from hwsim.cli._output import total
from hwsim.cli._suites._accelerators import agreements, estimates
from hwsim.cli._suites._suite import Found, Options, stage
from hwsim.cost import audit
from hwsim.cost.claims import decide_all, needed
from hwsim.cost.memory import peak_activations
from hwsim.cost.overview import overview
from hwsim.cost.search.figure import figure
from hwsim.cost.search.findings import search
from hwsim.cost.search.records import records as found_records
from hwsim.cost.search.rules import shipped as rules
from hwsim.cost.sensitivity import sensitivity
from hwsim.cost.work import Rows, work
from hwsim.record import Record
from qmodels import evidence
from reports import prose
from workloads import models
from workloads.claims import shipped

WIDTHS = (32, 4, 3, 2)
READINGS = 8
"""Kinds of readings of the abstract's speedup that the report shows."""

DIGITS = ("digits_w4a4", "digits_w2a2")


def q_vit(options: Options) -> Found:
    """Audit the paper's claims and those of others, and count codes that differ between integers and fake quant."""
    records: list[Record] = []
    with stage(records, "tracing and costs", "tracing models") as advance:
        published = tuple(claim for claim in shipped() if not claim.own)
        rows, programs = _rows(tuple(dict.fromkeys((*audit.needed(), *needed(published)))), records, advance)
        records += audit.audit_qvit(rows)
        records += _of_the_abstract(rows)
        records += [decision.record() for decision in decide_all(published, rows)]
    with stage(records, "accelerators") as advance:
        advance(0, 2)
        records += estimates(audit.distilled(audit.DEIT_S), programs[audit.distilled(audit.DEIT_S)])
        advance(1, 2)
        records += agreements(programs)
        advance(2, 2)
    for name in DIGITS:
        with stage(records, name, f"{name}: integers against fake quant") as advance:
            found = workloads.find(name)
            records += evidence.agreement(found, limit=options.limit, threads=options.threads, progress=advance)
    differ = total(records, "codes_mismatched", dtype="float64")
    compared = total(records, "codes_compared", dtype="float64")
    said = f"{differ:,.0f} of {compared:,.0f} codes differ between integers and fake quant in float64."
    return Found(
        records,
        ("readings", "speedup_gap", "published_agreement", "agreement"),
        (*prose.findings(records), said),
        {"mismatched_float64": differ},
        differ > 0,
    )


def _of_the_abstract(rows: Mapping[str, Rows]) -> list[Record]:
    """Which conventions give the abstract's speedup of DeiT-S at W4A4, and how it depends on the convention."""
    forms = {name: rows[name] for name in (audit.DEIT_S, audit.distilled(audit.DEIT_S))}
    labels = {name: models.find(name).label for name in forms}
    claimed, bits = audit.claimed(audit.DEIT_S, 4), (4, 4)
    found = search(figure("speedup", claimed), forms, rules(), bits)
    return found_records(found, labels, bits, READINGS) + sensitivity(forms, labels, bits, claimed=claimed)


def _rows(
    names: tuple[str, ...], records: list[Record], advance: console.Advance
) -> tuple[dict[str, Any], dict[str, Program]]:
    """Rows of work and program of each model, traced once at W4A4; what those that are not distilled cost goes to
    `records`."""
    rows: dict[str, Any] = {}
    programs: dict[str, Program] = {}
    for index, name in enumerate(names):
        advance(index, len(names))
        workload = workloads.find(f"{name}_w4a4")
        graph = evidence.skeleton_of(workload)
        rows[name] = work(graph)
        programs[name] = program(graph, rows[name])
        if "distilled" not in name:
            records += overview(name, workload.model.label, rows[name], WIDTHS, peak_activations(graph), 4)
    advance(len(names), len(names))
    return rows, programs
