import os
import signal
import stat
import subprocess
import sys

import numpy as np
import pytest

from hwsim.errors import HwsimError, UnknownName
from hwsim.kernels import choose
from hwsim.kernels.choose import ORDER, Trial
from hwsim.kernels.tier import Grid


def clear():
    for cached in (choose.named, choose._chosen, choose._trial):
        cached.cache_clear()


@pytest.fixture
def fresh():
    """Nothing is known of this machine, and nothing that a test says of it is remembered."""
    clear()
    yield
    clear()


@pytest.fixture
def machine(fresh, monkeypatch, tmp_path):
    """`machine(script)`: a CPU with all features whose trials run a shell script, and keep what it says in `tmp_path`."""
    monkeypatch.delenv(choose.VARIABLE, raising=False)
    monkeypatch.setattr(choose, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr("hwsim.kernels.tiers.amx._ask_permission", lambda: None)
    everything = frozenset(feature for name in ORDER for some in choose.kind_of(name).features for feature in some)
    monkeypatch.setattr(choose, "features", lambda: everything)

    def runs(script):
        program = tmp_path / "python"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IEXEC)
        monkeypatch.setattr(choose.sys, "executable", str(program))

    return runs


GOOD = """echo "{\\"name\\": \\"$3\\", \\"refusal\\": \\"\\", \\"pairs\\": 1.25}" """


def kept(folder):
    return sorted(file.name.split("-")[1] for file in folder.glob("trial-*.json"))


def test_tiers_are_listed_fastest_first():
    found = choose.usable()
    assert found[-2:] == ["portable", "oracle"]
    assert found[:-1] == [name for name in ORDER if name in found]


def test_the_fastest_is_used_and_the_variable_asked_at_each_call(monkeypatch):
    monkeypatch.delenv(choose.VARIABLE, raising=False)
    assert choose.tier().name == choose.usable()[0]
    for name in choose.usable():
        monkeypatch.setenv(choose.VARIABLE, name)
        assert choose.tier().name == name
        assert choose.tier() is choose.tier()
        assert choose.why() == f"{name}{', pairs of products' * choose.tier().pairs} (HWSIM_KERNELS={name})"


def test_an_unknown_tier(monkeypatch):
    monkeypatch.setenv(choose.VARIABLE, "avx")
    with pytest.raises(UnknownName) as caught:
        choose.tier()
    known = "avx2, amx, avxvnni, avx512vnni, oracle, portable, vnni"
    start = "HWSIM_KERNELS: unknown name, got 'avx'; known, nearest first: "
    assert str(caught.value).startswith(start)
    assert sorted(str(caught.value).removeprefix(start).split(", ")) == sorted(known.split(", "))


def test_what_the_cpu_lacks(fresh, monkeypatch):
    monkeypatch.setattr(choose, "features", lambda: frozenset({"avx2", "amx-tile"}))
    monkeypatch.setenv(choose.VARIABLE, "amx")
    with pytest.raises(HwsimError) as caught:
        choose.tier()
    lacks = "the CPU lacks amx-int8 and avx512vnni and avx512bw and avx512vl"
    assert str(caught.value) == f"HWSIM_KERNELS: this machine must have the tier, got amx ({lacks}); unset it"
    monkeypatch.setenv(choose.VARIABLE, "vnni")
    with pytest.raises(HwsimError, match=r"got avxvnni \(the CPU lacks avxvnni\); unset it$"):
        choose.tier()


def test_each_of_two_sets_of_features_will_do(machine, monkeypatch):
    machine(GOOD)
    for have in ({"avxvnni"}, {"avx512vnni", "avx512vl"}):
        clear()
        monkeypatch.setattr(choose, "features", lambda have=have: frozenset(have))
        assert [trial.name for trial in choose.trials() if not trial.refusal] == ["avxvnni"]


def test_vnni_is_the_better_of_two(machine, monkeypatch):
    machine(GOOD)
    monkeypatch.setenv(choose.VARIABLE, "vnni")
    assert choose.tier().name == "avx512vnni"
    clear()
    monkeypatch.setattr(choose, "features", lambda: frozenset({"avxvnni"}))
    assert choose.tier().name == "avxvnni"


def test_what_a_trial_said_is_kept(machine, tmp_path):
    machine(GOOD)
    first = choose.trials()
    assert first == [Trial(name, "", 1.25) for name in ORDER[:-1]]
    assert kept(tmp_path) == sorted(ORDER[:-1])
    clear()
    machine("exit 3")  # not asked again
    assert choose.trials() == first
    assert choose.named("avx512vnni").pairs
    assert not choose.named("avx2").pairs  # it has none
    for file in tmp_path.glob("trial-*.json"):
        file.write_bytes(b"\xff\x00{")
    clear()
    assert choose.trials() == [Trial(name, "its trial failed (exit code 3)") for name in ORDER[:-1]]


def test_bytes_are_permuted_where_a_trial_says_so(machine):
    """The portable tier and narrower ones never do, whatever the CPU has."""
    machine(GOOD.replace("1.25}", '1.25, \\"permutes\\": true}'))
    assert choose._trial("avx2").permutes
    assert {name: choose.named(name).permutes for name in (*ORDER, "oracle")} == {
        **dict.fromkeys((*ORDER, "oracle"), False),
        **dict.fromkeys(("amx", "avx512vnni"), True),
    }
    clear()
    machine("exit 3")  # what was kept says it too
    assert choose.tier().permutes


def test_bytes_are_not_permuted_where_a_trial_does_not_say_so(machine):
    machine(GOOD)
    assert not any(choose.named(name).permutes for name in ORDER)


@pytest.mark.parametrize("text", ["", "[]", "null", '{"name": "avx2"', '{"other": 1}', "7", "avx2"])
def test_garbage_is_no_trial(machine, tmp_path, text):
    machine(f"echo '{text}'")
    assert choose._trial("avx2") == Trial("avx2", "its trial said nothing")
    for file in tmp_path.glob("trial-*.json"):
        file.write_text(text)
    clear()
    machine(GOOD)
    assert choose._trial("avx2") == Trial("avx2", "", 1.25)


@pytest.mark.parametrize("signal_name", ["ILL", "ABRT", "SEGV"])
def test_a_trial_that_crashes_leaves_the_portable_tier(machine, tmp_path, signal_name):
    machine(f"echo LLVM ERROR: Cannot select >&2; kill -{signal_name} $$")
    assert choose.tier().name == "portable"
    reason = "its trial failed (LLVM ERROR: Cannot select)"
    assert choose.trials() == [Trial(name, reason) for name in ORDER[:-1]]
    assert choose.why() == "portable (" + "; ".join(f"{name}: {reason}" for name in ORDER[:-1]) + ")"
    assert kept(tmp_path) == sorted(ORDER[:-1])
    clear()
    machine(GOOD)
    assert choose.tier().name == "portable"  # it is known to crash


def test_what_may_pass_is_not_kept(machine, tmp_path):
    for script, reason in (
        (f"kill -{int(signal.SIGKILL)} $$", "exit code -9"),
        ("echo hwsim.errors.HwsimError: amx: refused >&2; exit 1", "hwsim.errors.HwsimError: amx: refused"),
    ):
        clear()
        machine(script)
        assert choose._trial("amx") == Trial("amx", f"its trial failed ({reason})")
        assert kept(tmp_path) == []


def test_a_trial_that_does_not_end(machine, monkeypatch, tmp_path):
    machine("sleep 60")
    monkeypatch.setattr(choose, "SECONDS", 0.05)
    assert choose._trial("avx2") == Trial("avx2", "its trial did not end (TimeoutExpired)")
    clear()
    monkeypatch.setattr(choose.sys, "executable", str(tmp_path / "none"))
    assert choose._trial("avx2") == Trial("avx2", "its trial did not end (FileNotFoundError)")
    assert kept(tmp_path) == []


def test_a_folder_that_cannot_be_written(machine, monkeypatch, tmp_path):
    machine(GOOD)
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(choose, "cache_folder", lambda: tmp_path / "file" / "folder")
    assert choose._trial("avx2") == Trial("avx2", "", 1.25)


def test_registers_that_are_refused_after_the_trial(machine, monkeypatch):
    """Another container, another limit: the next tier serves, unless this one was asked for."""
    from hwsim.kernels.tiers import amx

    def refuse():
        raise HwsimError("amx: the system must grant the matrix registers, got error 28; use another tier")

    machine(GOOD)
    monkeypatch.setattr(amx, "_ask_permission", refuse)
    assert choose.tier().name == "avx512vnni"
    monkeypatch.setenv(choose.VARIABLE, "amx")
    with pytest.raises(HwsimError, match=r"got amx \(amx: the system must grant the matrix registers, got error 28; "):
        choose.tier()


def test_operands_that_a_tier_refuses_are_left_to_the_portable_one(monkeypatch):
    none = np.zeros((1, 1), np.int64)
    for name in choose.usable():
        monkeypatch.setenv(choose.VARIABLE, name)
        assert choose.tier_for(Grid(0, 15, none), Grid(-8, 7, none), 99).name == name
        wide = choose.tier_for(Grid(0, (1 << 17) - 1, none), Grid(-8, 7, none), 99)
        assert wide.name == (name if name in choose.UNTRIED else "portable")


def chosen(**environment):
    """What a process of its own would use."""
    code = "from hwsim.kernels import choose; print(choose.tier().name); print(choose.why())"
    kept = {name: value for name, value in os.environ.items() if name != choose.VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**kept, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_features_that_numba_compiles_for_decide():
    assert chosen(NUMBA_CPU_NAME="generic")[0] == "portable"
    name, why = chosen(NUMBA_CPU_NAME="x86-64", NUMBA_CPU_FEATURES="+sse2")
    assert name == "portable"
    assert "; avx2: the CPU lacks avx2)" in why


@pytest.mark.slow
def test_a_cpu_with_avx2_alone():
    if "avx2" not in choose.usable():
        pytest.skip("the CPU lacks avx2")
    name, why = chosen(NUMBA_CPU_NAME="haswell", NUMBA_CPU_FEATURES="+avx2,+fma,+bmi2")
    assert name == "avx2"
    assert "avxvnni: the CPU lacks avxvnni" in why
