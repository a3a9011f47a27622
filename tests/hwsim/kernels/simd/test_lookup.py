import numpy as np
import pytest

from hwsim.kernels import choose
from hwsim.kernels.simd.lookup import PERMUTED, lookup, lookup_permuted

CODES = (np.int8, np.uint8, np.int16, np.uint16)


@pytest.mark.parametrize("size", [1, 15, 16, 17, 200])
@pytest.mark.parametrize("codes", CODES)
@pytest.mark.parametrize("entries", [*CODES, np.int32])
def test_every_entry_is_found(size, codes, entries):
    generator = np.random.default_rng(size)
    least = -(1 << 9) if codes is np.int16 else int(np.iinfo(codes).min)
    count = 1024 if codes in (np.int16, np.uint16) else 256
    table = generator.integers(np.iinfo(entries).min, np.iinfo(entries).max, count, endpoint=True).astype(entries)
    x = generator.integers(least, least + count, size).astype(codes)
    x[0], x[-1] = least, least + count - 1
    out = np.empty(size, entries)
    lookup(x, least, table, out)
    assert out.tolist() == [table.tolist()[code - least] for code in x.tolist()]


@pytest.fixture(scope="module")
def permutes():
    """Compiled only where a trial has shown it: else LLVM ends the process."""
    if not any(trial.permutes for trial in choose.trials()):
        pytest.skip("the CPU lacks permutations of bytes")


@pytest.mark.parametrize("entries", [np.int8, np.uint8])
@pytest.mark.parametrize("codes", CODES)
def test_permuted_bytes_of_every_grid(permutes, codes, entries):
    """All codes of all widths, signed and not, from any place in memory on; what lies outside of `out` is left alone."""
    size = np.dtype(codes).itemsize
    generator = np.random.default_rng(size)
    for bits in range(1, 11 if size == 2 else 9):
        least = -(1 << (bits - 1)) if np.dtype(codes).kind == "i" else 0
        table = generator.integers(np.iinfo(entries).min, np.iinfo(entries).max, 1 << bits, endpoint=True).astype(
            entries
        )
        x = generator.permutation(np.tile(np.arange(least, least + (1 << bits)), 3 + 200 // (1 << bits))).astype(codes)
        out = np.full(x.size + 2, 77, entries)
        lookup_permuted(x[1:].view(f"u{size}"), least, PERMUTED[size], table.view(np.uint8), out[2:-1].view(np.uint8))
        assert out[2:-1].tolist() == table[x[1:].astype(int) - least].tolist()
        assert out[[0, 1, -1]].tolist() == [77] * 3


@pytest.mark.parametrize("size", PERMUTED)
def test_permuted_bytes_of_every_length(permutes, size):
    generator = np.random.default_rng(0)
    count = PERMUTED[size]
    table, x = generator.integers(0, 256, count).astype(np.uint8), generator.integers(0, count, 200).astype(f"u{size}")
    for length in range(201):
        out = np.full(200, 77, np.uint8)
        lookup_permuted(x[:length], 0, count, table, out[:length])
        assert out.tolist() == [*table[x[:length]].tolist(), *[77] * (200 - length)]


@pytest.mark.parametrize("size", PERMUTED)
def test_codes_outside_of_a_table_stay_inside_of_memory(permutes, size):
    """A grid narrower than its bytes: any code finds an entry modulo a power of two, or 0."""
    table = np.arange(1, 17, dtype=np.uint8)
    x = np.arange(1 << (8 * size)).astype(f"u{size}")
    out = np.empty(x.size, np.uint8)
    lookup_permuted(x, -8, PERMUTED[size], table, out)
    place = (x.astype(int) + 8) % PERMUTED[size]
    assert out.tolist() == np.where(place < 16, place + 1, 0).tolist()
