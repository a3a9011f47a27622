"""`hwsim claims`: the audit of the paper's claims."""

from hwsim import console
from hwsim.cli._options import Json, workload_of
from hwsim.cli._output import print_findings, print_tables

EXAMPLE = "hwsim claims --json -"


def claims(json: Json = None) -> None:
    """Q-ViT's efficiency claims: printed figure, ours, counting rule, status, relative error."""
    from hwsim.cost import audit
    from hwsim.cost.work import work
    from qmodels import evidence

    rows = {}
    with console.progress("tracing models") as advance:
        for index, name in enumerate(audit.needed()):
            advance(index, len(audit.needed()))
            rows[name] = work(evidence.skeleton_of(workload_of(name, 4, 4)))
    records = list(audit.audit_qvit(rows))
    if json != "-":
        print_tables(records, "claims")
        print_findings(records)
    if json:
        console.write_json(json, records, {"claims": len(records)})
