"""The peak of a piece of work is its own, not that of what ran before."""

import resource

import numpy as np
import pytest

from qmodels import peak_memory as module
from qmodels.peak_memory import peak_memory

MIB = 1 << 20
SIZE = 96 * MIB


@pytest.fixture
def counted():
    with peak_memory() as peak:
        pass
    if not peak.exact:
        pytest.skip("this system cannot reset the peak")


def test_each_piece_of_work_has_a_peak_of_its_own(counted):
    with peak_memory() as large:
        block = np.ones(SIZE, np.uint8)
        del block
    with peak_memory() as small:
        np.ones(MIB, np.uint8)
    assert large.bytes - large.before == pytest.approx(SIZE, abs=8 * MIB)
    assert small.bytes - small.before < 8 * MIB
    assert large.exact
    assert small.exact


def test_where_it_cannot_be_reset_it_is_that_of_the_process(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_CLEAR", tmp_path / "no" / "such")
    with peak_memory() as peak:
        pass
    assert not peak.exact
    assert peak.bytes == resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
