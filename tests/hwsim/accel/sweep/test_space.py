"""Points are numbered like the digits of a number, and drawn without repeats."""

import itertools

import numpy as np
import pytest

from hwsim.accel.sweep.space import Axis, Space, drawn, split
from hwsim.errors import HwsimError


@pytest.fixture
def space():
    return Space(
        (Axis.of("model", ("a", "b")), Axis.of("array.dataflow", ("os", "ws", "is"))),
        (Axis(("array.rows", "array.cols"), ((16, 16), (32, 64))), Axis.of("dram.gb_per_s", (1.5, 2.5))),
        Axis.of("energy", ("x", "y")),
    )


def test_every_choice_has_its_number(space):
    rows = []
    for group in range(6):
        chosen, columns = space.chosen(group), space.columns(np.arange(space.machines))
        for machine in range(space.machines):
            for table in space.energy.values:
                rows.append((*chosen.values(), *(column[machine].item() for column in columns.values()), *table))
    axes = (("a", "b"), ("os", "ws", "is"), ((16, 16), (32, 64)), (1.5, 2.5), ("x", "y"))
    assert rows == [(a, b, *c, d, e) for a, b, c, d, e in itertools.product(*axes)]
    assert (len(rows), space.group, space.size) == (48, 8, 48)


def test_numbers_of_which_a_machine_has_one_are_no_arrays():
    assert Axis.of("array.rows", (1, 2)).numeric
    assert Axis.of("clock_mhz", (1, 2.5)).numeric
    for key, values in {
        "array.rows": (1, "2"),
        "array.true_edges": (True, False),
        "precision.bits": (4, 8),
        "dram.float_bits": (16, 32),
        "pipeline.units.qkv.m": (1, 2),
    }.items():
        assert not Axis.of(key, values).numeric


def test_without_numbers_there_is_one_machine_to_a_group():
    space = Space((Axis.of("model", ("a",)),), (), Axis.of("energy", ("",)))
    assert (space.machines, space.size, space.columns(np.arange(1))) == (1, 1, {})


def test_too_many_points_are_refused():
    axes = tuple(Axis.of(f"k{n}", range(1000)) for n in range(7))
    with pytest.raises(HwsimError) as caught:
        Space((), axes, Axis.of("energy", ("",)))
    assert str(caught.value) == "axes: at most 2**62 points can be numbered, got 1.0e+21; give fewer values"


def test_a_draw_is_of_different_points_and_the_same_again():
    found = drawn(10**15, 1000, 7)
    assert len(set(found.tolist())) == 1000
    assert (np.diff(found) > 0).all()
    assert 0.4e15 < found.mean() < 0.6e15
    assert (found == drawn(10**15, 1000, 7)).all()
    assert (found != drawn(10**15, 1000, 8)).any()
    assert drawn(10, 10, 0).tolist() == list(range(10))


def test_parts_cover_all():
    assert [part.tolist() for part in split(range(5), 2)] == [[0, 1], [2, 3], [4]]
    assert split(range(0), 2) == []
