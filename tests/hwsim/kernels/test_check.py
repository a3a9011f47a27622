from hwsim.kernels.check import check_kernels


def test_the_doctor_finds_exact_kernels():
    facts = check_kernels()
    assert list(facts) == ["numba", "kernels"]
    assert "portable, exact; first call" in facts["kernels"]
