import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.lower.domains import Domain
from hwsim.lower.ranges import Range
from hwsim.lower.recipe import Recipe
from hwsim.lower.scales import flattened, grid_of, power_of_two, snapped
from hwsim.spec import QuantSpec

SEEN = Range(-3.0, 5.0, 1.0, (1.0, 5.0, 0.5))
PLAIN = Recipe(name="plain", headroom=1.0)


def of(kind, recipe=PLAIN, seen=SEEN, per_channel=False):
    return grid_of(Domain(kind, ("x",), ()), [seen], recipe, per_channel)


def test_a_stream_is_symmetric_and_as_wide_as_the_recipe_says():
    assert of("stream") == QuantSpec(16, True, (5.0 / 32767,))
    assert of("stream", Recipe(name="r", residual_bits=8, headroom=2.0)) == QuantSpec(8, True, (10.0 / 127,))
    assert of("link", Recipe(name="r", link_bits=12, headroom=1.0)) == QuantSpec(12, True, (5.0 / 2047,))


def test_a_gelu_needs_nothing_below_minus_6():
    far = Range(-40.0, 2.0, 0.0, (40.0,))
    assert of("gelu", seen=far).scale == (6.0 / 511,)
    assert of("gelu").scale == (5.0 / 511,)


def test_scores_reach_12_below_the_least_maximum_of_a_row():
    masked = Range(-100.0, 5.0, 1.0, (100.0,))
    grid = of("scores", seen=masked)
    assert grid.scale == ((5.0 + 11.0) / 1023,)
    assert grid.zero_point == (round(11.0 / grid.scale[0]),)
    assert grid.to_real(grid.codebook()).min() == pytest.approx(-11.0, abs=grid.scale[0])


def test_scores_are_on_a_scale_at_which_the_softmax_is_exact():
    grid = of("scores", Recipe(name="r", softmax="ibertsoftmax", headroom=1.0, score_bits=8))
    assert 0.6931 / grid.scale[0] == pytest.approx(round(0.6931 / grid.scale[0]), abs=1e-9)
    coarse = of("scores", Recipe(name="r", softmax="shiftmax", headroom=1.0, score_bits=12, least_score_step=0.03))
    assert coarse.scale == (1 / 33,)


def test_values_that_were_always_0_have_a_grid_too():
    assert of("link", seen=Range(0.0, 0.0, 0.0, (0.0,))).scale[0] > 0


@given(st.floats(1e-200, 1e200))
def test_power_of_two_is_the_least_that_is_not_below(scale):
    found = power_of_two(scale)
    assert found / 2 < scale <= found
    assert power_of_two(found) == found


def test_snapping_keeps_codes_in_range():
    recipe = Recipe(name="r", power_of_two_scales=True)
    grid = QuantSpec(4, False, (0.3, 0.25), (3, 5), 1)
    assert snapped(grid, recipe) == QuantSpec(4, False, (0.5, 0.25), (3, 5), 1)
    assert snapped(grid, PLAIN) is grid


def test_the_factor_of_a_channel_is_the_least_that_holds_it():
    recipe = Recipe(name="r", residual_bits=8, power_of_two_factor=True, headroom=1.0)
    grid = of("stream", recipe, per_channel=True)
    base = 5.0 / 127 / 8
    assert grid.axis == 0
    assert grid.scale == pytest.approx((2 * base, 8 * base, base))  # 1.0, 5.0 and 0.5 of 5.0
    for magnitude, scale in zip(SEEN.channels, grid.scale, strict=True):
        assert magnitude <= 127 * scale * (1 + 1e-12)
    assert flattened(grid) == QuantSpec(8, True, (max(grid.scale),))
