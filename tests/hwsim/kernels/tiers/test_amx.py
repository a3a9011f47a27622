"""What the matrix tier asks of the system; its products are tested on emulated registers (`emulated`, ../conftest.py)."""

import pytest

from hwsim.errors import HwsimError
from hwsim.kernels.tiers import amx


class Library:
    """A C library whose system calls answer as told."""

    def __init__(self, answer):
        self.answer, self.calls = answer, []

    def syscall(self, *numbers):
        self.calls.append(numbers)
        return self.answer


@pytest.fixture
def system(monkeypatch):
    def answers(answer, platform="linux", machine="x86_64"):
        library = Library(answer)
        monkeypatch.setattr(amx.ctypes, "CDLL", lambda name, use_errno: library)
        monkeypatch.setattr(amx.ctypes, "get_errno", lambda: 28)
        monkeypatch.setattr(amx.sys, "platform", platform)
        monkeypatch.setattr(amx.platform, "machine", lambda: machine)
        return library

    return answers


def test_the_permission_is_asked_for(system):
    library = system(0)
    tier = amx.Amx()
    assert library.calls == [(158, 0x1023, 18)]  # arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)
    driver = tier.bytes.driver
    assert (driver.height, driver.depth, driver.lanes, driver.vectors) == (32, 64, 16, 2)
    assert not tier.pairable


def test_a_refusal_is_one_line(system):
    system(-1)
    with pytest.raises(HwsimError) as caught:
        amx.Amx()
    assert str(caught.value) == "amx: the system must grant the matrix registers, got error 28; use another tier"


@pytest.mark.parametrize(("name", "machine"), [("darwin", "x86_64"), ("win32", "AMD64"), ("linux", "aarch64")])
def test_other_systems_are_not_asked(system, name, machine):
    library = system(0, name, machine)
    with pytest.raises(HwsimError) as caught:
        amx.Amx()
    assert str(caught.value) == f"amx: Linux on x86-64 is needed, got {name} on {machine}; use another tier"
    assert library.calls == []
