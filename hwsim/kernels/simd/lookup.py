"""Codes by a table (S13a), sixteen look-ups at a time."""

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir

from hwsim.kernels.kernel import kernel
from hwsim.kernels.simd.code import Code
from hwsim.kernels.simd.vectors import LANES, looked_up, over_arrays

Integers = npt.NDArray[Any]


def _each(code: Code, forms: Any, start: Any, entries: Any, end: Any, groups: Any) -> None:
    """`f((codes, out), (source, entries, target, groups))`: the entry for code 0 is at `entries`."""
    kind = forms[1][0]

    def body(group: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
        found = looked_up(code, forms[0], start, group, entries, kind.element)
        size = code.constant(kind.element.width * LANES // 8, group.type)
        code.store(found, code.offset(end, code.builder.mul(group, size)))
        return []

    code.loop(groups, [], body)


_sixteens = over_arrays(_each)


def _lookup(codes: Integers, least: int, table: Integers, out: Integers) -> None:
    """out = table[codes - least] of flat arrays, `table` and `out` of one type."""
    groups = codes.shape[0] // LANES
    if groups > 0:
        entries = table.ctypes.data - least * table.itemsize
        _sixteens((codes, out, table), (codes.ctypes.data, entries, out.ctypes.data, groups))
    for i in range(groups * LANES, codes.shape[0]):
        out[i] = table[np.int64(codes[i]) - least]


lookup = kernel(_lookup)
