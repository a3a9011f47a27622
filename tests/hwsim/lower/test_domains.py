from hwsim.lower.domains import Domains


def test_domains_say_who_reads_a_value(mlp):
    domains = Domains(mlp)
    kinds = {
        name: domains.of(name).kind for name in ("x", "norm", "fc1.real", "fc1", "act", "fc2", "residual", "scores")
    }
    assert kinds == {
        "x": "stream",
        "norm": "quantizer",
        "fc1.real": "gelu",
        "fc1": "gelu",
        "act": "quantizer",
        "fc2": "stream",
        "residual": "stream",
        "scores": "link",
    }
    assert domains.is_loose("fc1")
    assert not domains.is_loose("residual")
