import numpy as np
import pytest

from hwsim.kernels.simd.lookup import lookup

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
