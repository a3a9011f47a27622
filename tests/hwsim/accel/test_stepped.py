"""The stepped array: its integers are NumPy's, its cycles and its traffic those of the closed form; compiled and plain."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hwsim.accel import stepped
from hwsim.accel.dataflow import DATAFLOWS, gemm_cycles
from hwsim.accel.stepped import LAST, REAL, TOKEN, run
from hwsim.errors import HwsimError, UnknownName

EACH = pytest.mark.parametrize("dataflow", DATAFLOWS)
SIZE = st.integers(1, 12)
ARRAY = st.integers(1, 6)
DTYPE = st.sampled_from([np.dtype(name) for name in stepped.DTYPES])


def codes(seed, shape, dtype):
    """Codes over the whole range of `dtype`, its ends among them."""
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    drawn = np.random.default_rng(seed).integers(low, high + 1, shape)
    return np.where(drawn % 5 == 0, low, np.where(drawn % 5 == 1, high, drawn)).astype(dtype)


def small(m, k, n):
    return codes(m, (m, k), "int8"), codes(n, (k, n), "int8")


def product(a, b):
    return a.astype(np.int64) @ b.astype(np.int64)


@EACH
@settings(deadline=None)
@given(rows=ARRAY, cols=ARRAY, m=SIZE, k=SIZE, n=SIZE, left=DTYPE, right=DTYPE, seed=st.integers(0, 99))
@example(rows=1, cols=1, m=1, k=1, n=1, left=np.dtype("int8"), right=np.dtype("int8"), seed=0)
@example(rows=4, cols=3, m=9, k=9, n=10, left=np.dtype("uint16"), right=np.dtype("int16"), seed=1)
def test_integers_cycles_and_traffic(dataflow, rows, cols, m, k, n, left, right, seed):
    """What is observed of a random GEMM on a random array, edge folds among them, is what the closed form says."""
    a, b = codes(seed, (m, k), left), codes(seed + 1, (k, n), right)
    seen, told = run(rows, cols, dataflow, a, b), gemm_cycles(rows, cols, dataflow, m, k, n)
    np.testing.assert_array_equal(seen.outputs, product(a, b), strict=True)
    assert seen.cycles == len(seen.busy) == told.cycles
    assert seen.fold_cycles.tolist() == [told.fold_cycles] * int(told.folds)
    assert seen.macs == told.useful_pe_cycles == m * k * n
    traffic = seen.activation_reads, seen.weight_reads, seen.output_writes
    assert traffic == (told.activation_reads, told.weight_reads, told.output_writes)


@EACH
@settings(deadline=None)
@given(rows=ARRAY, cols=ARRAY, m=SIZE, k=SIZE, n=SIZE)
def test_true_edges(dataflow, rows, cols, m, k, n):
    """Every tile on an array of its own size, one after the other: the closed form with `true_edges`."""
    a, b = small(m, k, n)
    size, (high, wide, _) = {"m": m, "k": k, "n": n}, DATAFLOWS[dataflow]
    cycles = 0
    for i in range(0, size[high], rows):
        for j in range(0, size[wide], cols):
            cut = {axis: slice(None) for axis in "mkn"} | {high: slice(i, i + rows), wide: slice(j, j + cols)}
            tile = a[cut["m"], cut["k"]], b[cut["k"], cut["n"]]
            pes = min(rows, size[high] - i), min(cols, size[wide] - j)
            cycles += run(*pes, dataflow, *tile).cycles
    assert cycles == gemm_cycles(rows, cols, dataflow, m, k, n, true_edges=True).cycles


@pytest.mark.parametrize(("dataflow", "cycles"), list(zip(DATAFLOWS, (10, 14, 14), strict=True)))
def test_four_by_four(dataflow, cycles):
    """10 cycles in RTL with output_stationary, says issue 125 of SCALE-Sim, which prints 9."""
    assert run(4, 4, dataflow, *small(4, 4, 4)).cycles == cycles


DEIT_SMALL = {  # (M, K, N) of one image: how often
    (196, 768, 384): 1,
    (197, 384, 1152): 12,
    (197, 64, 197): 72,
    (197, 197, 64): 72,
    (197, 384, 384): 12,
    (197, 384, 1536): 12,
    (197, 1536, 384): 12,
    (1, 384, 1000): 1,
}


@pytest.mark.slow
@pytest.mark.parametrize(("dataflow", "cycles"), list(zip(DATAFLOWS, (5996920, 6740832, 6252312), strict=True)))
def test_deit_small(dataflow, cycles):
    """All of DeiT-S on 32 x 32 PEs, its distinct products in full: what SCALE-Sim 3 prints, and one cycle per layer more."""
    total = 0
    for (m, k, n), count in DEIT_SMALL.items():
        a, b = small(m, k, n)
        seen = run(32, 32, dataflow, a, b)
        assert np.array_equal(seen.outputs, (a.astype(float) @ b).astype(int))  # float64 is exact at this size
        assert seen.macs == m * k * n
        total += count * seen.cycles
    assert total == cycles


def test_two_by_two_by_hand():
    a, b = np.array([[1, 2], [3, 4]], np.int8), np.array([[5, 6], [7, 8]], np.int8)
    kept = run(2, 2, "output_stationary", a, b, record=True).tape
    assert kept.left.tolist() == [[1, 0], [2, 3], [0, 4], [0, 0]]
    assert kept.top.tolist() == [[5, 0], [7, 6], [0, 8], [0, 0]]
    assert kept.sums.tolist() == [[[5, 0], [0, 0]], [[0, 6], [15, 0]], [[0, 0], [0, 18]], [[0, 0], [0, 0]]]
    assert kept.leaving.tolist() == [[0, 0], [19, 0], [43, 22], [0, 50]]
    kept = run(2, 2, "weight_stationary", a, b, record=True).tape
    assert kept.left.tolist() == [[0, 0], [0, 0], [1, 0], [3, 2], [0, 4], [0, 0]]
    assert kept.top.tolist() == [[7, 8], [5, 6], [0, 0], [0, 0], [0, 0], [0, 0]]
    assert kept.down[1:].tolist() == [[[5, 6], [7, 8]]] * 5
    assert kept.leaving.tolist() == [[0, 0], [0, 0], [0, 0], [19, 0], [43, 22], [0, 50]]


@EACH
@settings(deadline=None)
@given(rows=ARRAY, cols=ARRAY, m=SIZE, k=SIZE, n=SIZE)
def test_the_tape_moves_by_neighbours(dataflow, rows, cols, m, k, n):
    """Registers hold what their neighbours held, sums change by one product, and nothing crosses more than one PE."""
    a, b = small(m, k, n)
    seen = run(rows, cols, dataflow, a, b, record=True)
    tape = seen.tape
    np.testing.assert_array_equal(seen.outputs, product(a, b))
    assert {len(field) for field in tape} == {seen.cycles}
    for lane, place in ((tape.left, tape.across), (tape.left_tags, tape.across_tags)):
        np.testing.assert_array_equal(place[:, :, 0], lane)
        np.testing.assert_array_equal(place[1:, :, 1:], place[:-1, :, :-1])
    step = np.arange(seen.cycles) % seen.fold_cycles[0]
    moves = np.full(seen.cycles, True) if dataflow == "output_stationary" else step < rows
    np.testing.assert_array_equal(tape.down[moves, 0], tape.top[moves])
    np.testing.assert_array_equal(tape.down[1:, 1:][moves[1:]], tape.down[:-1, :-1][moves[1:]])
    np.testing.assert_array_equal(tape.down[1:][~moves[1:]], tape.down[:-1][~moves[1:]])
    assert not tape.top_tags[~moves].any()
    busy = (tape.across_tags & tape.down_tags & REAL) > 0
    np.testing.assert_array_equal(busy.sum((1, 2)), seen.busy)
    products = tape.across.astype(np.int64) * tape.down
    assert not products[~busy].any()
    if dataflow == "output_stationary":
        finished = tape.across_tags & LAST > 0
        assert finished.sum(1).max() == 1  # one sum per column line and cycle
        sums = tape.sums + np.where(finished, tape.leaving[:, None], 0)
        np.testing.assert_array_equal(sums[1:], tape.sums[:-1] + products[1:])
    else:
        np.testing.assert_array_equal(tape.sums[1:, 1:], tape.sums[:-1, :-1] + products[1:, 1:])
        np.testing.assert_array_equal(tape.sums[:, 0], products[:, 0])


@EACH
@settings(deadline=None)
@given(rows=ARRAY, cols=ARRAY, m=SIZE, k=SIZE, n=SIZE)
def test_when_pes_are_busy_and_results_leave(dataflow, rows, cols, m, k, n):
    """The cycles that the module's text gives, restated as sets of events."""
    seen = run(rows, cols, dataflow, *small(m, k, n), record=True)
    high, wide, steps = ({"m": m, "k": k, "n": n}[axis] for axis in DATAFLOWS[dataflow])
    stays = dataflow == "output_stationary"
    busy, real, padding, start = np.zeros(seen.cycles, int), set(), set(), 0
    for i in range(0, high, rows):
        for j in range(0, wide, cols):
            begin = start if stays else start + rows
            for c in range(cols):
                leaves = [steps - 1 + r + c for r in range(rows)] if stays else [s + rows - 1 + c for s in range(steps)]
                for index, cycle in enumerate(leaves):
                    of_the_gemm = j + c < wide and (not stays or i + index < high)
                    (real if of_the_gemm else padding).add((begin + cycle, c))
            for r, c, s in np.ndindex(min(rows, high - i), min(cols, wide - j), steps):
                busy[begin + r + c + s] += 1
            start += int(seen.fold_cycles[0])
    assert seen.busy.tolist() == busy.tolist()
    for tag, events in ((TOKEN + REAL, real), (TOKEN, padding)):
        assert set(zip(*map(list, np.nonzero(seen.tape.leaving_tags == tag)), strict=True)) == events


@EACH
def test_utilisation(dataflow):
    seen = run(3, 5, dataflow, *small(7, 8, 9))
    assert seen.utilisation.max() == 1
    assert seen.utilisation.mean() == pytest.approx(float(gemm_cycles(3, 5, dataflow, 7, 8, 9).utilisation), rel=1e-12)


@EACH
def test_more_cycles_than_were_made_room_for(dataflow):
    a, b = small(50, 60, 70)
    seen = run(4, 4, dataflow, a, b)
    assert seen.cycles == gemm_cycles(4, 4, dataflow, 50, 60, 70).cycles > 4096
    np.testing.assert_array_equal(seen.outputs, product(a, b))


@EACH
def test_read_only_and_strided_codes(dataflow):
    a, b = small(6, 10, 8)
    a.flags.writeable = False
    np.testing.assert_array_equal(
        run(3, 2, dataflow, a[::2, ::2], b.T[::3, :5].T).outputs, product(a[::2, ::2], b[:5, ::3])
    )


A, B = small(2, 3, 4)
ERRORS = {
    "stepped: rows must be a positive integer, got 0; give the PEs of the array": (0, 2, A, B),
    "stepped: cols must be a positive integer, got 2.0; give the PEs of the array": (2, 2.0, A, B),
    "stepped: a must be one of int8, uint8, int16, uint16, got float64; give integer codes": (2, 2, A * 1.0, B),
    "stepped: b must be one of int8, uint8, int16, uint16, got int32; give integer codes": (
        2,
        2,
        A,
        B.astype(np.int32),
    ),
    "stepped: a must be a matrix of codes, got shape (1, 2, 3); run one GEMM at a time": (2, 2, A[None], B),
    "stepped: b must be a matrix of codes, got shape (3, 0); run one GEMM at a time": (2, 2, A, B[:, :0]),
    "stepped: a (M, K) and b (K, N) must agree in K, got (2, 3) and (4, 3); transpose one": (2, 2, A, B.T),
}


@pytest.mark.parametrize("message", ERRORS)
def test_errors(message):
    rows, cols, a, b = ERRORS[message]
    with pytest.raises(HwsimError) as caught:
        run(rows, cols, "weight_stationary", a, b)
    assert str(caught.value) == message


def test_unknown_dataflow():
    with pytest.raises(UnknownName) as caught:
        run(2, 2, "weight", A, B)
    assert str(caught.value) == (
        "dataflow: unknown name, got 'weight'; known, nearest first: "
        "weight_stationary, input_stationary, output_stationary"
    )


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["NUMBA_DISABLE_JIT", "NUMBA_BOUNDSCHECK"])
def test_without_the_compiler_and_with_bounds_checked(mode, tmp_path):
    """The tests of this file again, as plain Python, and compiled with every index checked."""
    if any(os.environ.get(name) for name in ("NUMBA_DISABLE_JIT", "NUMBA_BOUNDSCHECK")):
        pytest.skip("already in one of these modes")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            "-k",
            "two_by_two or busy or errors",
            __file__,
        ],
        env={**os.environ, mode: "1", "NUMBA_CACHE_DIR": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_a_changed_kernel_is_compiled_again(tmp_path):
    """Numba keys its cache by this file too, not only by the text of hwsim/kernels: here a copy of it, changed."""
    text = Path(stepped.__file__).read_text(encoding="utf-8")
    place = tmp_path / "copied.py"
    code = "import numpy; from copied import multiply; x = numpy.ones((1, 1), int); multiply(x, x, x); print(x[0, 0])"
    answers = []
    for product_of in (
        "np.int64(across[r, c]) * np.int64(down[r, c])",
        "np.int64(across[r, c]) - np.int64(down[r, c])",
    ):
        place.write_text(text.replace("np.int64(across[r, c]) * np.int64(down[r, c])", product_of))
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, "-c", code],
                env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(tmp_path)},
                capture_output=True,
                text=True,
                check=True,
            )
            answers.append(done.stdout.strip())
    assert answers == ["2", "2", "1", "1"]
