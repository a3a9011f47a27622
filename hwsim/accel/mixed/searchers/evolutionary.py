"""Evolutionary: a population of settings, of which the best and the new ones that beat them go on.

It starts from the greedy setting, every setting of one choice throughout, and random ones. A child takes each group's choice
from one of two parents, chosen by tournament, and then a few groups get random choices, or one group moves up where another
moves down. Settings are ordered by excess over the budgets, then by loss. The end comes after GENERATIONS, or STALE of them
without a better setting; the best one is improved as the greedy one is. Equal seeds give equal settings.
"""

import numpy as np

from hwsim.accel.mixed.problem import Problem, Progress, Settings
from hwsim.accel.mixed.searchers.greedy import greedy
from hwsim.accel.mixed.steps import improve

POPULATION, GENERATIONS, STALE = 256, 400, 80
MUTATIONS = 1.5
"""Groups of a child that get a random choice, on average."""


def evolutionary(problem: Problem, seed: int = 0, progress: Progress | None = None) -> Settings:
    """The best setting of the last generation."""
    random = np.random.default_rng(seed)
    population = _first(problem, random)
    best, since = population[0], 0
    for generation in range(GENERATIONS):
        if progress:
            progress(generation, GENERATIONS)
        children = _children(problem, population, random)
        population = _fittest(problem, np.concatenate([population, children]))
        since = since + 1 if np.array_equal(population[0], best) else 0
        best = population[0]
        if since == STALE:
            break
    return improve(problem, best)


def _first(problem: Problem, random: np.random.Generator) -> Settings:
    groups, choices = problem.losses.shape
    uniform = np.minimum(np.arange(choices)[:, None], problem.sizes - 1)
    rest = random.integers(0, problem.sizes, (POPULATION, groups))
    return _fittest(problem, np.concatenate([greedy(problem)[None], uniform, rest]))


def _fittest(problem: Problem, settings: Settings) -> Settings:
    """The POPULATION best of `settings`, each once, best first; equally good ones in the order of their choices."""
    settings = np.unique(settings, axis=0)
    order = np.lexsort((problem.loss(settings), problem.excess(settings)))
    return np.asarray(settings[order[:POPULATION]])


def _children(problem: Problem, population: Settings, random: np.random.Generator) -> Settings:
    groups = population.shape[1]
    rank = random.integers(0, len(population), (2, 2, POPULATION)).min(axis=1)  # the lower rank wins: they are sorted
    mother, father = population[rank[0]], population[rank[1]]
    children = np.where(random.random(mother.shape) < 0.5, mother, father)
    mutated = random.random(children.shape) < MUTATIONS / groups
    children = np.where(mutated, random.integers(0, problem.sizes, children.shape), children)
    return _exchanged(problem, children, random)


def _exchanged(problem: Problem, children: Settings, random: np.random.Generator) -> Settings:
    """Every other child with two groups at random choices: a step that one of them pays for and the other gains by."""
    rows = np.arange(0, len(children), 2)
    for _ in range(2):
        chosen = random.integers(0, children.shape[1], len(rows))
        children[rows, chosen] = random.integers(0, problem.sizes[chosen])
    return children
