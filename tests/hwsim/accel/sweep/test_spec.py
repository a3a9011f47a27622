"""The file of a sweep: what it says, and one line for each way it can be wrong."""

import pytest

from hwsim.accel.sweep.spec import Range, read
from hwsim.errors import BadFile

LEAST = 'accelerator = "systolic_32x32"\nmodels = "digits_deit"\nbits = "w8a8"\n'


@pytest.fixture
def written(tmp_path):
    """The spec and the space of a file of these lines besides the least that there must be."""

    def write(text, least=LEAST):
        (tmp_path / "mine.toml").write_text(least + text)
        return read(tmp_path / "mine.toml")

    return write


def test_the_least_is_one_point(written):
    spec, space = written("")
    assert (spec.name, spec.models, spec.batch, spec.ends, spec.search) == ("mine", ("digits_deit",), (1,), 8, "grid")
    assert spec.objectives == ("latency", "energy", "area")
    assert spec.apart == ("model", "bits", "batch", "energy")
    assert space.size == 1
    assert space.chosen(0) == {"accelerator": "systolic_32x32", "model": "digits_deit", "bits": "w8a8", "batch": 1}
    assert space.energy.values == (("",),)


def test_axes_are_keys_of_an_accelerator(written):
    _, space = written(
        """
        name = "own"
        batch = [1, 8]
        energy = ["a", "b"]
        [axes]
        array.dataflow = ["output_stationary", "weight_stationary"]
        "array.rows, array.cols" = [16, [32, 64]]
        dram.gb_per_s = { from = 1, to = 100, steps = 3, scale = "log" }
        "precision.bits" = [4, 8]
        [axes.vector]
        lanes = { from = 1, to = 3, steps = 5, whole = true }
        """
    )
    assert [axis.keys for axis in space.outer[4:]] == [("array.dataflow",), ("precision.bits",)]
    assert [axis.keys for axis in space.numeric] == [
        ("array.rows", "array.cols"),
        ("dram.gb_per_s",),
        ("vector.lanes",),
    ]
    assert space.numeric[0].values == ((16, 16), (32, 64))
    assert space.numeric[1].values == ((1.0,), (10.0,), (100.0,))
    assert space.numeric[2].values == ((1,), (2,), (3,))
    assert space.size == 2 * 2 * 2 * 2 * 3 * 3 * 2


def test_ranges():
    assert Range(**{"from": 2.0, "to": 0.0, "steps": 5}).values() == (2.0, 1.5, 1.0, 0.5, 0.0)
    third = Range(**{"from": 1.0, "to": 2.0, "steps": 4}).values()
    assert third == (1.0, 1.33333, 1.66667, 2.0)
    ratios = Range(**{"from": 1.0, "to": 64.0, "steps": 7, "scale": "log", "whole": True}).values()
    assert ratios == (1, 2, 4, 8, 16, 32, 64)
    assert all(type(value) is int for value in ratios)


def test_files_are_looked_for_beside_the_file(written, tmp_path):
    for name in ("machine.toml", "prices.toml", "layers.json"):
        (tmp_path / name).write_text("")
    least = 'models = "digits_deit"\naccelerator = ["machine.toml", "other.toml"]\nbits = ["layers.json", "w4a4"]\n'
    spec, _ = written('energy = "prices.toml"', least)
    assert spec.accelerator == (str(tmp_path / "machine.toml"), "other.toml")
    assert spec.bits == (str(tmp_path / "layers.json"), "w4a4")
    assert spec.energy == (str(tmp_path / "prices.toml"),)


def test_a_list_of_one_may_be_its_value(written):
    spec, _ = written('objectives = "area"\napart = "model"\nbatch = 4\nenergy = "maestro"')
    assert (spec.objectives, spec.apart, spec.batch, spec.energy) == (("area",), ("model",), (4,), ("maestro",))


def test_a_draw_may_be_from_more_points_than_a_grid_may_have(written):
    axes = "[axes]\n" + "".join(f"{key} = {{ from = 1, to = 9, steps = 1000 }}\n" for key in ("a.a", "a.b", "a.c"))
    spec, space = written(f'search = "random"\npoints = 1000\n{axes}')
    assert (spec.points, space.size) == (1000, 10**9)
    with pytest.raises(
        BadFile, match=r'a grid must have at most 10,000,000 points, got 1,000,000,000; write search = "random"$'
    ):
        written(axes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("points = 5", 'points must be given where search is "random", and only there, got 5; write both'),
        ('search = "random"', 'points must be given where search is "random", and only there, got none; write both'),
        (
            'search = "random"\npoints = 2',
            "points must be at most those of the grid, 1, got 2; lower it",
        ),
        ('search = "best"', 'search must be one of "grid", "random", got "best"; write search = "grid"'),
        ("batch = [1, 0]", "batch[1] must be an integer from 1 to 65536 (images), got 0; write batch = 1"),
        ("ends = 9", "ends must be 1..8 or 32, got 9; write ends = 8"),
        ("batch = [1, 1]", "batch must list each once, got 1 twice; leave one out"),
        ("batch = []", "batch must be a list of integers, got []; write batch = [1]"),
        (
            "objectives = []",
            'objectives must be a list of latency, energy, area, size, got []; write objectives = ["latency"]',
        ),
        ("seeds = 1", 'seeds must be a key of its table, got "seeds"; known, nearest first: seed, '),
        ("seed = -1", "seed must be an integer of 0 or more, got -1; write seed = 0"),
        ("[axes]\narray.rows = 16", "axes.array.rows must be a list of values or a range, got 16; write [16, 32]"),
        ("[axes]\narray.rows = []", "axes.array.rows must be a list of values or a range, got []; write [16, 32]"),
        ("[axes]\narray.rows = [16, 16]", "axes.array.rows must list each value once, got 16 twice; leave one out"),
        (
            '[axes]\n"array.rows, array.cols" = [[1, 2, 3]]',
            "axes.array.rows, array.cols must list values, or lists of one per key, got [1, 2, 3]; write it anew",
        ),
        (
            '[axes]\narray.rows = [1]\n"array.cols, array.rows" = [1]',
            "axes must give each key once, got array.rows twice; leave one out",
        ),
        ("axes = 5", "axes must be a table, got 5; write it as [axes]"),
        (
            'objectives = "speed"',
            'objectives[0] must be one of "latency", "energy", "area", "size", got "speed"; write ',
        ),
        ("[axes]\nclock_mhz = [1979-05-27]", "axes.clock_mhz must list values, or lists of one per key, got "),
        ("[axes]\nbatch = [1]", "axes must be keys of an accelerator's file, got batch; its place is above them"),
        (
            "[axes]\nclock_mhz = { from = 1, to = 2 }",
            "clock_mhz.steps must be an integer of 2 to 100000, got nothing; write steps = 20",
        ),
        (
            '[axes]\nclock_mhz = { from = 0, to = 2, steps = 3, scale = "log" }',
            "from must be above 0 like to where the scale is log, got 0; start above 0",
        ),
        ("name = 1\nname = 2", "must be TOML with each key once, got "),
    ],
)
def test_each_fault_is_one_line(written, tmp_path, text, message):
    with pytest.raises(BadFile) as caught:
        written(text)
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'mine.toml'}: ")
    assert message in said
    assert "\n" not in said


@pytest.mark.parametrize("bits", ["w9a8", "w0a8", "w16a16", "W4A4", "w4", "four"])
def test_bits_that_are_none(written, tmp_path, bits):
    with pytest.raises(BadFile) as caught:
        written("", LEAST.replace("w8a8", bits))
    rule = f'bits must be 1..8 or 32 each, or a file, got "{bits}"; write bits = "w4a4"'
    assert str(caught.value) == f"{tmp_path / 'mine.toml'}: {rule}"


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(BadFile) as caught:
        read(tmp_path / "none.toml")
    assert (
        str(caught.value)
        == f"{tmp_path / 'none.toml'}: must be a sweep as TOML, got No such file or directory; give another file"
    )
