"""A limit that is exceeded is told in one line: which, and by how much."""

import math

import pytest

from hwsim.errors import HwsimError
from qmodels.comparison import NodeCodes, Predictions
from qmodels.tolerance import Tolerance
from qmodels.verification import VerifyReport


def report(by_node=0, free=0, agreeing=10, kl=0.0, compared=1000):
    """Two nodes of `compared` codes, of which the second differs; ten images."""
    modes = {
        mode: (NodeCodes("a", compared, 0, 0), NodeCodes("b", compared, differ, 1))
        for mode, differ in (("node_by_node", by_node), ("free_running", free))
    }
    predictions = {"fake_quant": Predictions(10, 9, 10, 0.0), "integer": Predictions(10, 9, agreeing, kl)}
    return VerifyReport(10, "float64", modes, (), (), predictions)


def test_nothing_is_asked_by_default():
    assert Tolerance().broken(report(1000, 1000, 0, 9.0)) == ()


def test_what_is_at_the_limit_is_within_it():
    limits = Tolerance(max_mismatch=0.01, min_agreement=0.8, max_kl=0.5)
    assert limits.broken(report(20, 20, 8, 0.5)) == ()
    assert len(limits.broken(report(21, 21, 7, 0.51))) == 4


def test_codes_that_differ():
    assert Tolerance(max_mismatch=0).broken(report(0, 5)) == (
        "max_mismatch: a share of at most 0 of the codes may differ, got 0.0025 free running (5 of 2,000), 0.0025 too much; "
        "the first is at b",
    )
    assert Tolerance(max_mismatch=0.001).broken(report(4, 2)) == (
        "max_mismatch: a share of at most 0.001 of the codes may differ, got 0.002 node by node (4 of 2,000), "
        "0.001 too much; the first is at b",
    )


def test_nothing_to_compare_is_not_agreement():
    assert Tolerance(max_mismatch=0.5).broken(report(compared=0)) == (
        "max_mismatch: codes are needed to compare node by node, got none that both forms have; "
        "give --max-kl or --min-agreement",
        "max_mismatch: codes are needed to compare free running, got none that both forms have; "
        "give --max-kl or --min-agreement",
    )


def test_predictions_that_disagree():
    assert Tolerance(min_agreement=0.95).broken(report(agreeing=7)) == (
        "min_agreement: a share of at least 0.95 of the predictions must agree, got 0.7 (7 of 10), 0.25 too few",
    )


def test_divergence():
    assert Tolerance(max_kl=0.001).broken(report(kl=0.0125)) == (
        "max_kl: the KL divergence must be at most 0.001 nat, got 0.0125, 0.0115 too much",
    )


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_mismatch": 1.5}, "max_mismatch: must be a share 0..1, got 1.5; leave it out for no limit"),
        ({"min_agreement": -0.1}, "min_agreement: must be a share 0..1, got -0.1; leave it out for no limit"),
        ({"max_kl": math.nan}, "max_kl: must be 0 or more, got nan; leave it out for no limit"),
    ],
)
def test_limits_that_limit_nothing_are_refused(limits, message):
    with pytest.raises(HwsimError) as caught:
        Tolerance(**limits)
    assert str(caught.value) == message
