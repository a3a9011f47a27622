from hwsim.lower.report import integer_report


def test_mixed_verdicts(mlp):
    kinds = {v.node: v.kind for v in integer_report(mlp)}
    assert kinds["fc1.acc"] == "exact"
    assert {kinds[n] for n in ("norm", "fc1.x", "fc1.real", "fc1", "act", "residual", "scores")} == {"float_island"}
