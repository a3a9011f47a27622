"""Running sums give what NumPy computes from everything at once."""

import math

import numpy as np
import pytest
from scipy.special import rel_entr, softmax

from qmodels.comparison import BLOCK, CodeCount, LogitSums, NodeCodes, Predictions, RealSums


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def parts(*arrays):
    """The arrays in uneven pieces."""
    return zip(*(np.split(array, [3, 4, 11]) for array in arrays), strict=True)


def test_codes_are_counted_and_unsigned_ones_do_not_wrap(rng):
    reference = rng.integers(0, 256, (20, 7)).astype(np.uint8)
    codes = np.where(rng.random((20, 7)) < 0.2, rng.integers(0, 256, (20, 7)), reference).astype(np.uint8)
    count = CodeCount()
    where = [count.add(a, b) for a, b in parts(codes, reference)]
    step = np.abs(codes.astype(int) - reference.astype(int))
    assert count.result("n") == NodeCodes("n", 140, int((step > 0).sum()), int(step.max()))
    assert where[0].tolist() == np.flatnonzero(step[:3]).tolist()


def test_equal_codes_differ_nowhere():
    count = CodeCount()
    assert count.add(np.arange(5, dtype=np.int8), np.arange(5, dtype=np.int8)).size == 0
    assert count.result("n") == NodeCodes("n", 5, 0, 0)


def test_cosine_and_sqnr(rng):
    reference, values = rng.normal(1, 3, (20, 5, 2)), rng.normal(0, 3, (20, 5, 2))
    values = reference + 0.1 * values
    sums = RealSums()
    for a, b in parts(values, reference):
        sums.add(a, b)
    flat, other = reference.reshape(-1), values.reshape(-1)
    assert sums.cosine == pytest.approx(np.dot(flat, other) / np.linalg.norm(flat) / np.linalg.norm(other), rel=1e-13)
    noise = np.linalg.norm(flat - other)
    assert sums.sqnr_db == pytest.approx(20 * np.log10(np.linalg.norm(flat) / noise), rel=1e-12)


def test_reals_at_the_ends():
    same, silent, lost = RealSums(), RealSums(), RealSums()
    same.add(np.ones(3), np.ones(3))
    assert (same.cosine, same.sqnr_db) == (1.0, math.inf)
    silent.add(np.ones(3), np.zeros(3))
    assert (silent.cosine, silent.sqnr_db) == (0.0, -math.inf)
    lost.add(np.zeros(3), np.ones(3))
    assert (lost.cosine, lost.sqnr_db) == (0.0, 0.0)


def test_predictions(rng):
    reference = rng.normal(0, 2, (20, 10))
    logits = reference + rng.normal(0, 1, (20, 10))
    labels = rng.integers(0, 10, 20)
    sums = LogitSums()
    for a, b, c in parts(logits, reference, labels):
        sums.add(a, b, c)
    found = sums.result()
    assert found.images == 20
    assert found.correct == (logits.argmax(1) == labels).sum()
    assert found.agreeing == (logits.argmax(1) == reference.argmax(1)).sum() < 20
    wanted = rel_entr(softmax(reference, axis=1), softmax(logits, axis=1)).sum(1).mean()
    assert found.kl == pytest.approx(wanted, rel=1e-12)
    assert (found.accuracy, found.agreement) == (found.correct / 20, found.agreeing / 20)


def test_divergence_is_of_the_simulator_from_the_reference_and_never_negative():
    sure, unsure = np.array([[1000.0, 0.0]]), np.array([[0.0, 0.0]])
    sums = LogitSums()
    sums.add(unsure, sure, np.array([0]))
    assert sums.result() == Predictions(1, 1, 1, pytest.approx(math.log(2)))
    rows = np.random.default_rng(4).normal(0, 9, (50, 10))
    same = LogitSums()
    same.add(rows + 1e-13, rows, np.zeros(50))
    assert 0 <= same.result().kl < 1e-12


def test_sums_of_many_blocks(rng):
    reference = rng.normal(1, 3, 2 * BLOCK + 17)
    values = reference + rng.normal(0, 1, reference.size)
    sums = RealSums()
    sums.add(values.reshape(1, -1), reference.reshape(1, -1))
    wanted = {
        "signal": reference**2,
        "other": values**2,
        "product": reference * values,
        "noise": (reference - values) ** 2,
    }
    for key, terms in wanted.items():
        assert getattr(sums, key) == pytest.approx(math.fsum(terms), rel=1e-13)
