"""The front is what its definition says, point by point."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hwsim.accel.sweep.pareto import front


def by_definition(values):
    """No other point is at least as good everywhere and better somewhere."""
    return [not any((b <= a).all() and (b < a).any() for b in values) for a in values]


ELEMENTS = st.sampled_from((-1.5, 0.0, 0.1, 0.2, 0.3, np.inf))
TABLES = arrays.arrays(np.float64, st.tuples(st.integers(0, 40), st.integers(1, 4)), elements=ELEMENTS)


@given(TABLES)
def test_it_is_that_of_the_definition_with_ties_everywhere(values):
    assert front(values).tolist() == by_definition(values)


@pytest.mark.parametrize("kinds", [1, 2, 3, 4])
def test_it_is_that_of_the_definition_on_many_points(kinds):
    values = np.random.default_rng(kinds).lognormal(size=(400, kinds))
    assert front(values).tolist() == by_definition(values)


def test_neighbours_that_differ_in_the_last_bit_are_told_apart():
    one = np.nextafter(1.0, 2)
    assert front([[1.0, 1.0], [one, 1.0], [1.0, one]]).tolist() == [True, False, False]


def test_equal_points_stand_or_fall_together():
    assert front([[1, 2], [2, 1], [1, 2], [2, 2], [2, 2]]).tolist() == [True, True, True, False, False]
    assert front([[3.0, 3.0, 3.0]] * 3).tolist() == [True] * 3
    assert front(np.zeros((0, 2))).tolist() == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, 2.0], "values: must be a table of points by objectives, got shape (2,)"),
        ([[1.0, np.nan]], "values: must be numbers, got NaN; leave such points out"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused(values, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the text is compared)
        front(values)
    assert str(caught.value) == message
