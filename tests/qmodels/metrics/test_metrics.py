"""Metrics against numpy and scipy, and what each of them must not notice."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial import distance

from hwsim import catalog
from qmodels.metric import Metric
from qmodels.metrics.cosine import Cosine
from qmodels.metrics.fisher import Fisher
from qmodels.metrics.pearson import Pearson
from qmodels.metrics.ranking import Ranking
from qmodels.metrics.squared import Squared

SHAPE = (4, 3, 5, 6, 7)  # candidates, parts, samples, rows, values
NAMES = catalog.names("qmodels.metrics")


@pytest.fixture
def outputs():
    wanted = torch.randn(SHAPE[1:], dtype=torch.float64) + 2
    return wanted + torch.linspace(0.1, 2, 4)[:, None, None, None, None] * torch.randn(
        SHAPE, dtype=torch.float64
    ), wanted


def _by_sample(got, wanted, of):
    """The mean over samples of what `of` says of flat numpy outputs, by loops."""
    scores = np.empty(SHAPE[:2])
    for c, s in np.ndindex(*scores.shape):
        scores[c, s] = np.mean(
            [of(got[c, s, b].numpy().ravel(), wanted[s, b].numpy().ravel()) for b in range(SHAPE[2])]
        )
    return scores


def test_there_is_a_test_for_each():
    assert NAMES == ("cosine", "fisher", "pearson", "ranking", "squared")


@pytest.mark.parametrize("name", NAMES)
def test_each_gives_a_score_per_candidate_and_part_and_is_best_without_an_error(name, outputs):
    got, wanted = outputs
    metric = catalog.find("qmodels.metrics", name)()
    assert isinstance(metric, Metric)
    gradients = torch.randn_like(wanted)
    scores = metric(torch.cat([got, wanted[None]]), wanted, gradients)
    assert scores.shape == (5, 3)
    assert (scores.argmax(0) == 4).all()
    alone = metric(got[1:2, 2:], wanted[2:], gradients[2:])  # no part looks at another
    assert torch.allclose(alone[0, 0], scores[1, 2])


def test_pearson_is_the_correlation_of_numpy(outputs):
    got, wanted = outputs
    assert np.allclose(
        Pearson()(got, wanted), _by_sample(got, wanted, lambda a, b: np.corrcoef(a, b)[0, 1]), atol=1e-12
    )
    assert np.allclose(
        Pearson()(got, wanted), _by_sample(got, wanted, lambda a, b: stats.pearsonr(a, b)[0]), atol=1e-12
    )


def test_pearson_takes_no_notice_of_scale_and_shift_but_of_the_mean_over_samples(outputs):
    got, wanted = outputs
    moved = got * torch.rand(SHAPE[2])[:, None, None] + torch.randn(SHAPE[2])[:, None, None]
    assert torch.allclose(Pearson()(moved, wanted), Pearson()(got, wanted))
    assert torch.allclose(Pearson()(3 * got, wanted), Pearson()(got, wanted))


def test_cosine_is_that_of_scipy(outputs):
    got, wanted = outputs
    assert np.allclose(
        Cosine()(got, wanted), _by_sample(got, wanted, lambda a, b: 1 - distance.cosine(a, b)), atol=1e-12
    )


def test_squared_and_fisher_are_means_of_squares(outputs):
    got, wanted = outputs
    assert np.allclose(Squared()(got, wanted), _by_sample(got, wanted, lambda a, b: -np.mean((a - b) ** 2)), atol=1e-12)
    gradients = torch.randn_like(wanted)
    ours = Fisher()(got, wanted, gradients)
    assert np.allclose(ours, _by_sample(got * gradients, wanted * gradients, lambda a, b: -np.mean((a - b) ** 2)))
    assert torch.allclose(Fisher()(got, wanted, torch.ones_like(wanted)), Squared()(got, wanted))
    assert Fisher.weighted
    assert not Squared.weighted


def test_fisher_sees_nothing_where_there_is_no_slope(outputs):
    got, wanted = outputs
    gradients = torch.zeros_like(wanted)
    gradients[..., 0] = 1
    assert torch.allclose(Fisher()(got, wanted, gradients), Squared()(got[..., :1], wanted[..., :1]) / SHAPE[-1])
    assert not Fisher()(got, wanted, torch.zeros_like(wanted)).any()


@pytest.mark.parametrize("metric", [Pearson(), Cosine()])
def test_what_is_constant_is_like_nothing(metric):
    wanted = torch.zeros(1, 2, 3, 4)
    assert torch.equal(metric(torch.randn(2, 1, 2, 3, 4), wanted), torch.zeros(2, 1))
    assert torch.equal(metric(torch.zeros(2, 1, 2, 3, 4), torch.randn(1, 2, 3, 4)), torch.zeros(2, 1))


def test_ranking_is_the_sum_of_the_paper_as_a_mean(outputs):
    got, wanted = outputs
    theta = 0.3
    expected = np.zeros(SHAPE[:2])
    for c, s, b, m in np.ndindex(*SHAPE[:4]):
        unit = wanted[s, b].numpy().std()
        row, hat = wanted[s, b, m].numpy() / unit, got[c, s, b, m].numpy() / unit
        pairs = [(i, j) for i in range(7) for j in range(i + 1, 7)]
        terms = [max(0, theta - (hat[i] - hat[j]) * np.sign(row[i] - row[j])) for i, j in pairs]
        expected[c, s] -= np.mean(terms) / (SHAPE[2] * SHAPE[3])
    assert np.allclose(Ranking(theta)(got, wanted), expected, atol=1e-12)


def test_ranking_asks_for_nothing_but_the_order_with_its_margin():
    wanted = torch.arange(6.0).reshape(1, 1, 1, 6)
    assert Ranking()(wanted[None], wanted) == 0
    assert Ranking()(wanted[None].exp(), wanted) == 0  # further apart, in the same order
    flipped = wanted[None, ..., [1, 0, 2, 3, 4, 5]]
    unit = wanted.std(correction=0)
    assert torch.allclose(Ranking()(flipped, wanted), -(0.2 + 1 / unit) / 15)  # one of 15 pairs, by one unit
    assert Ranking()(wanted[None] * 0.05, wanted) < 0  # in order, but closer than the margin
    assert torch.allclose(Ranking()(9 * flipped, 9 * wanted), Ranking()(flipped, wanted))


def test_ranking_draws_pairs_where_there_are_many():
    assert len(Ranking(pairs=15).chosen(6)[0]) == 15
    left, right = Ranking(pairs=64, seed=3).chosen(197)
    assert len(left) == len(right) == 64
    assert (left != right).all()
    assert max(left.max(), right.max()) < 197
    again = Ranking(pairs=64, seed=3).chosen(197)
    assert torch.equal(left, again[0])
    assert not torch.equal(left, Ranking(pairs=64, seed=4).chosen(197)[0])
    wanted = torch.randn(1, 8, 16, 197)
    got = wanted[None] + 0.5 * torch.randn(1, 1, 8, 16, 197)
    full = Ranking(pairs=197 * 98)(got, wanted)
    assert torch.allclose(Ranking(pairs=64)(got, wanted), full, rtol=0.1)
