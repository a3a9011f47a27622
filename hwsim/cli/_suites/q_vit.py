"""The suite of the Q-ViT paper: its efficiency claims audited, and integers against fake quant on real images."""

from typing import Any

import workloads
from hwsim import console
from hwsim.cli._output import total
from hwsim.cli._suites._suite import Found, Options, stage
from hwsim.cost import audit
from hwsim.cost.memory import peak_activations
from hwsim.cost.overview import overview
from hwsim.cost.work import work
from hwsim.record import Record
from qmodels import evidence
from reports import prose

WIDTHS = (32, 4, 3, 2)
DIGITS = ("digits_w4a4", "digits_w2a2")


def q_vit(options: Options) -> Found:
    """Audit the paper's claims on every model that they need, and count codes that differ on the digits."""
    records: list[Record] = []
    with stage(records, "tracing and costs", "tracing models") as advance:
        rows = _rows(audit.needed(), records, advance)
        records += audit.audit_qvit(rows)
    for name in DIGITS:
        with stage(records, name, f"{name}: integers against fake quant") as advance:
            found = workloads.find(name)
            records += evidence.agreement(found, limit=options.limit, threads=options.threads, progress=advance)
    differ = total(records, "codes_mismatched", dtype="float64")
    compared = total(records, "codes_compared", dtype="float64")
    said = f"{differ:,.0f} of {compared:,.0f} codes differ between integers and fake quant in float64."
    return Found(
        records,
        ("claims", "agreement"),
        (*prose.findings(records), said),
        {"mismatched_float64": differ},
        differ > 0,
    )


def _rows(names: tuple[str, ...], records: list[Record], advance: console.Advance) -> dict[str, Any]:
    """Rows of work of each model, traced once at W4A4; the costs of those that are not distilled go to `records`."""
    rows: dict[str, Any] = {}
    for index, name in enumerate(names):
        advance(index, len(names))
        workload = workloads.find(f"{name}_w4a4")
        graph = evidence.skeleton_of(workload)
        rows[name] = work(graph)
        if "distilled" not in name:
            records += overview(name, workload.model.label, rows[name], WIDTHS, peak_activations(graph), 4)
    advance(len(names), len(names))
    return rows
