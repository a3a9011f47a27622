"""From measured ranges to integer grids (S17): symmetric, asymmetric, with a power-of-two factor per channel."""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from hwsim.lower.domains import Domain
from hwsim.lower.ranges import Range
from hwsim.lower.recipe import Recipe
from hwsim.spec import BipolarSpec, QuantSpec, ShiftSpec

Grid = TypeVar("Grid", bound=QuantSpec | BipolarSpec | ShiftSpec)

SOFTMAX_DEPTH = 12.0
"""Scores this far below the maximum of their row need no codes of their own: exp(-12) is under half a step of 2**-16, the
finest probability of the recipes."""
GELU_DEPTH = 6.0
"""GELU(-6) is -6e-9, and nearer to 0 below."""
PTF_MAX = 3
"""Largest exponent of the power-of-two factor (FQ-ViT's released code: factors 1, 2, 4, 8)."""
FLOOR = 1e-6
"""Least range of a grid, for values that were 0 on all calibration images."""


def grid_of(domain: Domain, ranges: Iterable[Range], recipe: Recipe, per_channel: bool = False) -> QuantSpec:
    """The grid of `domain`, whose settled values have these `ranges`; of a stream per channel of the last axis, by PTF, where
    that is asked for."""
    if domain.grid is not None:
        return snapped(domain.grid, recipe)
    seen = list(ranges)
    low, high = min(r.low for r in seen), max(r.high for r in seen)
    if domain.kind == "scores":
        low = min(reaching(r).low for r in seen)
        spread = (low * recipe.headroom, high * recipe.headroom)
        grid = snapped(_asymmetric(recipe.score_bits, *spread, least=recipe.least_score_step), recipe)
        return grid if recipe.power_of_two_scales else _refitted(grid, recipe.operator("softmax"))
    if domain.kind == "gelu":
        return snapped(_symmetric(recipe.gelu_bits, max(high, min(-low, GELU_DEPTH)) * recipe.headroom), recipe)
    magnitude = max(-low, high) * recipe.headroom
    if domain.kind == "link":
        return snapped(_symmetric(recipe.link_bits, magnitude), recipe)
    if per_channel:
        channels = np.max([r.channels for r in seen], axis=0) * recipe.headroom
        return _with_factors(recipe.residual_bits, channels.tolist(), recipe)
    return snapped(_symmetric(recipe.residual_bits, magnitude), recipe)


def reaching(seen: Range) -> Range:
    """`seen`, of scores, without what is so far below the maximum of its row that a softmax gives it nothing."""
    return replace(seen, low=max(seen.low, seen.row_top - SOFTMAX_DEPTH))


def link_grid(seen: Range, recipe: Recipe) -> QuantSpec:
    """The grid of one value for itself."""
    return snapped(_symmetric(recipe.link_bits, max(-seen.low, seen.high) * recipe.headroom), recipe)


def flattened(grid: QuantSpec) -> QuantSpec:
    """`grid` per tensor, at the coarsest of its scales."""
    return grid if grid.axis is None else QuantSpec(grid.bits, grid.signed, (max(grid.scale),))


def snapped(grid: Grid, recipe: Recipe) -> Grid:
    """`grid` at powers of two where the recipe wants such scales: of affine codes at the next one up, so that nothing that
    was in range leaves it; of others, whose range is in their codes, at the nearest."""
    if not recipe.power_of_two_scales:
        return grid
    nearest = (2.0 ** round(math.log2(scale)) for scale in grid.scale)
    up = map(power_of_two, grid.scale)
    return replace(grid, scale=tuple(up if isinstance(grid, QuantSpec) else nearest))


def power_of_two(scale: float) -> float:
    """The least power of two that is not below `scale`."""
    mantissa, exponent = math.frexp(scale)
    return math.ldexp(0.5 if mantissa == 0.5 else 1.0, exponent)


def _symmetric(bits: int, magnitude: float) -> QuantSpec:
    return QuantSpec(bits, True, (max(magnitude, FLOOR) / ((1 << (bits - 1)) - 1),))


def _asymmetric(bits: int, low: float, high: float, least: float) -> QuantSpec:
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max(max(high - low, FLOOR) / ((1 << bits) - 1), least)
    return QuantSpec(bits, False, (scale,), (min(max(round(-low / scale), 0), (1 << bits) - 1),))


def _refitted(grid: QuantSpec, softmax: Any) -> QuantSpec:
    """`grid` at the scale, a little coarser, at which the constants of the softmax are exact."""
    scale = softmax.fitted_scale(grid.scale[0])
    zero_point = min(round(grid.zero_point[0] * grid.scale[0] / scale), grid.qmax)
    return QuantSpec(grid.bits, grid.signed, (scale,), (zero_point,))


def _with_factors(bits: int, channels: list[float], recipe: Recipe) -> QuantSpec:
    """PTF: scale * 2**a per channel, a the least of 0..3 that holds the channel's range; axis 0, to be moved."""
    top = (1 << (bits - 1)) - 1
    base = snapped(QuantSpec(bits, True, (max(*channels, FLOOR) / top / (1 << PTF_MAX),)), recipe).scale[0]
    factors = (math.ceil(math.log2(max(channel, FLOOR) / (top * base))) for channel in channels)
    scale = tuple(base * 2.0 ** min(max(factor, 0), PTF_MAX) for factor in factors)
    return QuantSpec(bits, True, scale, (0,) * len(scale), 0)
