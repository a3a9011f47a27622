import json
import subprocess
import sys

import numpy as np
import pytest

from hwsim.kernels import trial
from hwsim.kernels.choose import Trial
from hwsim.kernels.simd.instructions import Vpermi2b
from hwsim.kernels.tiers.oracle import Oracle


def test_a_trial_prints_one_line():
    done = subprocess.run(
        [sys.executable, "-m", "hwsim.kernels.trial", "portable"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"name": "portable", "refusal": "", "pairs": 0.0, "permutes": False}


class Wrong(Oracle):
    """Misses one sum of one kind."""

    when = ""

    def product(self, left, grid, right, finish=None, out=None):
        result = super().product(left, grid, right, finish)
        if {"finish": finish is not None, "even": bool(finish and finish.even), "tail": left.shape[1] == 33}[self.when]:
            result[-1, -1, -1] += 1
        return result


@pytest.mark.parametrize(("when", "shape"), [("finish", (1, 1, 1)), ("even", (1, 1, 1)), ("tail", (33, 8, 130))])
def test_a_wrong_tier_is_found(monkeypatch, when, shape):
    monkeypatch.setattr(trial, "kind_of", lambda name: type("Wrong", (Wrong,), {"when": when}))
    assert trial.try_tier("wrong") == Trial("wrong", f"wrong products of {shape} at (4, False, 4, True)")


def test_a_wrong_tier_is_found_in_pairs(monkeypatch):
    class Paired(Oracle):
        pairable = True

        def product(self, left, grid, right, finish=None, out=None):
            return super().product(left, grid, right, finish) + np.int32(self.pairs)

    monkeypatch.setattr(trial, "kind_of", lambda name: Paired)
    assert trial.try_tier("paired") == Trial("paired", "wrong products of (1, 1, 1) at (4, False, 4, True) in pairs")


def test_what_pairs_gain(monkeypatch):
    class Paired(Oracle):
        pairable = True

    monkeypatch.setattr(trial, "kind_of", lambda name: Paired)
    monkeypatch.setattr(trial, "ROUNDS", 3)
    assert trial.try_tier("paired").pairs > 0


class Permutable(Oracle):
    """A tier whose CPUs may permute bytes."""

    permutable = True


def test_bytes_are_permuted_where_the_cpu_has_it_and_it_is_right(monkeypatch):
    for kind, have, wrong, permutes in (
        (Permutable, {*Vpermi2b.features, "avx2"}, 0, True),
        (Permutable, Vpermi2b.features, 1, False),
        (Permutable, Vpermi2b.features[1:], 0, False),
        (Oracle, Vpermi2b.features, 0, False),
    ):

        def permuted(codes, least, entries, table, out, wrong=wrong):
            assert table.size == entries
            out[:] = table[codes]
            out[-1] ^= wrong

        monkeypatch.setattr(trial, "lookup_permuted", permuted)
        monkeypatch.setattr(trial, "features", lambda have=have: frozenset(have))
        monkeypatch.setattr(trial, "kind_of", lambda name, kind=kind: kind)
        assert trial.try_tier("any") == Trial("any", permutes=permutes)
