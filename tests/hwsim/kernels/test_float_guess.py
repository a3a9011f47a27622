"""What is guessed in float32 is never further from float64 than a third of what counts as near."""

import math

import numpy as np
import pytest
import torch

from hwsim.kernels import float_guess as guesses

# NumPy's scalars warn where the kernels are run as plain Python (NUMBA_DISABLE_JIT=1); compiled code never does.
pytestmark = pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")

X = np.random.default_rng(0).normal(0, 3, 2000)
X = np.concatenate([X, np.linspace(-12, 12, 2001), np.sign(X) * 10.0 ** np.linspace(-9, 9, 2000)])


def test_gelu():
    wanted = torch.nn.functional.gelu(torch.from_numpy(X)).numpy()
    got = np.array([guesses.guess_gelu(np.float32(x)) for x in X], np.float64)
    assert (np.abs(got - wanted) <= guesses.NEAR_GELU / 3 * np.abs(X)).all()


def test_exp():
    x = np.concatenate([-np.abs(X[np.abs(X) < 87]), np.linspace(-87, 0, 5000)])
    got = np.array([guesses.guess_exp(np.float32(value)) for value in x], np.float64)
    assert (np.abs(got / np.exp(x) - 1) <= guesses.NEAR_EXP / 3).all()
    assert guesses.guess_exp(np.float32(-np.inf)) == guesses.guess_exp(np.float32(-87)) < 1e-37


def gelu_codes(x, scale):
    out = np.empty(x.size, np.uint8)
    sure = guesses.guess_gelu_codes(np.zeros(x.size, np.int32), np.ones(x.size), x, scale, 8, -8.0, 7.0, out)
    return sure, out


def test_near_the_middle_between_two_codes_nothing_is_sure():
    """x so large that gelu(x) is x: the middle between two codes, and beside it."""
    middle = 6.5 * 2
    assert not gelu_codes(np.array([middle]), 2.0)[0]
    assert not gelu_codes(np.array([math.nextafter(middle, 0)]), 2.0)[0]
    assert not gelu_codes(np.array([middle * (1 + 2.0**-22)]), 2.0)[0]
    sure, codes = gelu_codes(np.array([middle * (1 + 2.0**-18)]), 2.0)
    assert (sure, codes.tolist()) == (True, [15])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_what_is_not_finite_is_not_sure(bad):
    assert not gelu_codes(np.array([1.0, bad]), 1.0)[0]
    room, out = np.empty(3), np.empty(3, np.uint8)
    if bad not in (-np.inf, 1e300):
        assert not guesses.guess_softmax_codes(np.array([1.0, bad, 0.0]), 0.1, 0, 0.0, 15.0, room, out)


def test_most_are_sure():
    """Else guessing would be of no use."""
    draws = np.random.default_rng(1)
    surely = [gelu_codes(draws.normal(0, 1, 128), 0.1)[0] for _ in range(100)]
    assert sum(surely) > 90


def test_scales_that_float32_cannot_hold_are_not_guessed():
    assert guesses.guessable(0.1, -8.0, 7.0)
    for scale, low, high in ((1e-31, -8.0, 7.0), (1e31, -8.0, 7.0), (0.1, -8.0, 65535.0), (0.1, -65535.0, 0.0)):
        assert not guesses.guessable(scale, low, high)
