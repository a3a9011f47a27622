"""What is guessed in float32 is never further from float64 than a third (gelu) or half (softmax) of what counts as near."""

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


def test_gelu_of_sums():
    """Product and sum in float32 too, where they cancel as well."""
    draws = np.random.default_rng(2)
    acc = draws.integers(-(2**31), 2**31, 4000) >> draws.integers(0, 28, 4000)
    scale = 10.0 ** draws.uniform(-6, 0, 4000) * np.where(draws.random(4000) < 0.5, 1, 1e-3)
    bias = np.where(
        draws.random(4000) < 0.5, draws.normal(0, 2, 4000), -acc * scale * (1 + draws.normal(0, 0.01, 4000))
    )
    product = acc.astype(np.float32) * scale.astype(np.float32)
    got = np.array(
        [guesses.guess_gelu(np.float32(p + b)) for p, b in zip(product, bias.astype(np.float32), strict=True)]
    )
    wanted = torch.nn.functional.gelu(torch.from_numpy(acc * scale + bias)).numpy()
    assert (np.abs(got - wanted) <= guesses.NEAR_GELU / 3 * (np.abs(acc * scale) + np.abs(bias))).all()


@pytest.mark.parametrize("spread", [3, 300, 2**24])
@pytest.mark.parametrize("length", [1, 15, 16, 197, 1024])
def test_shares_of_scores(spread, length):
    """Codes that are sure are those of float64; most are, and none of rows too long, or of a unit below zero."""
    draws, sure = np.random.default_rng(length), 0
    for _ in range(20):
        acc = draws.integers(-spread, spread + 1, length).astype(np.int32)
        unit, scale = 10.0 / spread, 1 / 255
        room, out = np.empty(length, np.float32), np.empty(length, np.uint8)
        if guesses.guess_score_codes(acc, unit, scale, 0, 0.0, 255.0, room, out):
            sure += 1
            exact = torch.softmax(torch.from_numpy(acc * unit), 0).numpy()
            np.testing.assert_array_equal(out, np.rint(exact / scale))
            near = (56 + length / 16) * 2.0**-24 * exact + 1.5 * 2.0**-24 * exact.max()
            assert (np.abs(room / room.sum(dtype=np.float64) - exact) <= near / 2).all()
        assert not guesses.guess_score_codes(acc, -unit, scale, 0, 0.0, 255.0, room, out)
    assert sure > 10
    long, room = np.zeros(guesses.LONGEST + 1, np.int32), np.empty(guesses.LONGEST + 1, np.float32)
    assert not guesses.guess_score_codes(long, 1.0, 0.1, 0, 0.0, 15.0, room, room.astype(np.uint8))
    assert not guesses.guess_softmax_codes(long.astype(np.float64), 0.1, 0, 0.0, 15.0, room, room.astype(np.uint8))


@pytest.mark.parametrize("ends", [(2**25 - 1, -(2**25)), (2**25, 0), (-(2**25) - 1, 0), (2**31 - 1, -(2**31))])
def test_scores_at_both_ends_of_what_is_guessed(ends):
    acc, room, out = np.array([*ends, 0], np.int32), np.empty(3, np.float32), np.empty(3, np.uint8)
    sure = guesses.guess_score_codes(acc, 1e-8, 0.1, 0, 0.0, 15.0, room, out)
    assert sure == (max(ends) < 2**25 and min(ends) >= -(2**25))
    if sure:
        np.testing.assert_array_equal(out, np.rint(torch.softmax(torch.from_numpy(acc * 1e-8), 0).numpy() / 0.1))


@pytest.mark.parametrize("length", [1, 2, 197, 1024])
def test_codes_that_are_sure_lie_beside_the_middle(length):
    """Grids on which a share lies at the middle between two codes, and around it: what is sure is right, and not all is."""
    draws, sure, tried = np.random.default_rng(length), 0, 0
    room, out = np.empty(length, np.float32), np.empty(length, np.uint8)
    for spread in (1, 30, 3000):
        for _ in range(30):
            acc = draws.integers(-spread, spread + 1, length).astype(np.int32)
            exact = torch.softmax(torch.from_numpy(acc * (9.0 / spread)), 0).numpy()
            for away in (0.0, 2.0**-24, -(2.0**-22), 2.0**-19, -(2.0**-17), 2.0**-14):
                scale = exact[draws.integers(length)] / (draws.integers(0, 250) + 0.5) * (1 + away)
                tried += 1
                if guesses.guess_score_codes(acc, 9.0 / spread, scale, 0, 0.0, 255.0, room, out):
                    sure += 1
                    np.testing.assert_array_equal(out, np.clip(np.rint(exact / scale), 0, 255))
    assert tried / 20 < sure < tried * 0.7


def test_exp():
    x = np.concatenate([-np.abs(X[np.abs(X) < 87]), np.linspace(-87, 0, 5000)])
    got = np.array([guesses.guess_exp(np.float32(value)) for value in x], np.float64)
    assert (np.abs(got / np.exp(np.float32(x).astype(np.float64)) - 1) <= 1.6 * 2.0**-24).all()
    assert guesses.guess_exp(np.float32(-np.inf)) == guesses.guess_exp(np.float32(-87)) < 1e-37


def gelu_codes(x, scale):
    out = np.empty(x.size, np.uint8)
    scales, biases = np.empty(x.size, np.float32), np.empty(x.size, np.float32)
    assert guesses.narrowed(np.ones(x.size), x, scales, biases)
    sure = guesses.guess_gelu_codes(np.zeros(x.size, np.int32), scales, biases, scale, 8, -8.0, 7.0, out)
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
    room, out = np.empty(3, np.float32), np.empty(3, np.uint8)
    if bad not in (-np.inf, 1e300):
        assert not guesses.guess_softmax_codes(np.array([1.0, bad, 0.0]), 0.1, 0, 0.0, 15.0, room, out)


def test_most_are_sure():
    """Else guessing would be of no use."""
    draws = np.random.default_rng(1)
    surely = [gelu_codes(draws.normal(0, 1, 128), 0.1)[0] for _ in range(100)]
    assert sum(surely) > 90


def test_scales_that_float32_cannot_hold_are_not_guessed():
    assert guesses.guessable(0.1, -8.0, 7.0)
    room = np.empty(1, np.float32), np.empty(1, np.float32)
    assert not guesses.narrowed(np.array([1e-31]), np.zeros(1), *room)
    assert not guesses.narrowed(np.array([1e31]), np.zeros(1), *room)
    for scale, low, high in ((1e-31, -8.0, 7.0), (1e31, -8.0, 7.0), (0.1, -8.0, 65535.0), (0.1, -65535.0, 0.0)):
        assert not guesses.guessable(scale, low, high)
