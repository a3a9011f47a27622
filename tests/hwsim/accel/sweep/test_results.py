"""The file of results: always the beginning of the whole one, and nothing else is ever taken for it."""

import multiprocessing

import numpy as np
import pytest

from hwsim.accel.sweep.results import chosen, columns, opened
from hwsim.errors import BadFile

HEADER = {"name": "s", "points": 10, "axes": "aa", "machines": "bb"}
POINTS = np.arange(10) * 3
FIRST = '{"kind": "hwsim sweep", "name": "s", "points": 10, "axes": "aa", "machines": "bb"}\n'


def line(point):
    return f'{{"point": {point}, "x": {point / 4}}}\n' if point != 12 else '{"point": 12, "refused": "no"}\n'


WHOLE = FIRST + "".join(map(line, POINTS.tolist()))


def test_lines_are_appended_and_found_again(tmp_path):
    path = tmp_path / "new" / "r.jsonl"
    with opened(path, HEADER, POINTS, 4) as results:
        assert results.done == 0
        assert path.read_text() == FIRST
        results.append("".join(map(line, POINTS[:4].tolist())), 4)
        assert path.read_text() == WHOLE[: len(path.read_text())]
    with opened(path, HEADER, POINTS, 4) as results:
        assert results.done == 4
        results.append("".join(map(line, POINTS[4:].tolist())), 6)
        assert results.done == 10
    assert path.read_text() == WHOLE
    with opened(path, HEADER, POINTS, 4) as results:
        assert results.done == 10
    assert path.read_text() == WHOLE


def test_wherever_it_is_cut_whole_shards_are_left(tmp_path):
    path = tmp_path / "r.jsonl"
    ends = [len("".join(WHOLE.splitlines(keepends=True)[: 1 + n])) for n in (0, 4, 8, 10)]
    for cut in range(len(WHOLE) + 1):
        path.write_text(WHOLE[:cut])
        with opened(path, HEADER, POINTS, 4) as results:
            done = results.done
        kept = max([0, *(n for n, end in zip((0, 4, 8, 10), ends, strict=True) if end <= cut)])
        assert done == kept
        assert path.read_text() == WHOLE[: ends[(0, 4, 8, 10).index(kept)]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("my notes\n", ": must be results of this sweep or not be there, got 'my notes'; choose another file"),
        ("my notes", ": must be results of this sweep or not be there, got 'my notes'; choose another file"),
        ("[1]\n", ": must be results of this sweep or not be there, got '[1]'; choose another file"),
        (
            FIRST.replace("aa", "cc").replace("bb", "dd"),
            ": must be results of this sweep, got others (axes, machines differ); choose another file",
        ),
        (WHOLE.replace(line(6), ""), ':4: must hold point 6, got \'{"point": 9, "x": 2.25}\'; remove the file'),
        (WHOLE.replace(line(6), "\0" * 50 + "\n"), ":4: must hold point 6, got "),
        (WHOLE + line(30), ": must end after 10 points, got more; remove the file"),
    ],
)
def test_another_file_is_left_alone(tmp_path, text, message):
    path = tmp_path / "r.jsonl"
    path.write_text(text)
    with pytest.raises(BadFile) as caught, opened(path, HEADER, POINTS, 4):
        pass
    assert str(caught.value).startswith(f"{path}{message}")
    assert path.read_text() == text


def hold(path, ready, stop):
    with opened(path, HEADER, POINTS, 4):
        ready.set()
        stop.wait(60)


def test_two_runs_cannot_write_one_file(tmp_path):
    context, path = multiprocessing.get_context("fork"), tmp_path / "r.jsonl"
    ready, stop = context.Event(), context.Event()
    other = context.Process(target=hold, args=(path, ready, stop))
    other.start()
    try:
        assert ready.wait(60)
        with pytest.raises(BadFile) as caught, opened(path, HEADER, POINTS, 4):
            pass
    finally:
        stop.set()
        other.join()
    assert str(caught.value) == f"{path}: cannot be written, got another run that is writing it; wait for its end"
    with opened(path, HEADER, POINTS, 4) as results:
        assert results.done == 0


def test_numbers_and_lines(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text(WHOLE)
    found, refused = columns(path, ["x", "point"])
    assert found[:, 1].tolist() == POINTS.tolist()
    assert np.isnan(found[:, 0]).tolist() == [point == 12 for point in POINTS]
    assert refused == {"no": 1}
    assert chosen(path, [9, 2]) == {2: {"point": 6, "x": 1.5}, 9: {"point": 27, "x": 6.75}}
    path.write_text(WHOLE.replace(line(6), '{"point": 6, "x"\n'))
    with pytest.raises(BadFile) as caught:
        columns(path, ["x"])
    assert str(caught.value) == f'{path}:4: must be JSON, got \'{{"point": 6, "x"\'; remove the file'
