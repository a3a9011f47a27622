"""Codes by a table (S13a): sixteen look-ups at a time, or sixty-four of bytes where the CPU permutes those.

`lookup_permuted` may only run where a tier says so (`Tier.permutes`): LLVM ends the process where it is missing.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir

from hwsim.kernels.kernel import kernel
from hwsim.kernels.simd.code import I1, I8, I64, Code, vector
from hwsim.kernels.simd.instructions import Vpermi2b
from hwsim.kernels.simd.vectors import LANES, looked_up, over_arrays

Integers = npt.NDArray[Any]
BYTES = Vpermi2b.lanes
"""Codes of a step of `lookup_permuted`."""

PERMUTED = {1: 256, 2: 1024}
"""Entries of the table that `lookup_permuted` makes, by the bytes of a code: two permutations of 64 codes, and eight."""


def _each(code: Code, forms: Any, start: Any, entries: Any, end: Any, groups: Any) -> None:
    """`f((codes, out), (source, entries, target, groups))`: the entry for code 0 is at `entries`."""
    kind = forms[1][0]

    def body(group: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
        found = looked_up(code, forms[0], start, group, entries, kind.element)
        size = code.constant(kind.element.width * LANES // 8, group.type)
        code.store(found, code.offset(end, code.builder.mul(group, size)))
        return []

    code.loop(groups, [], body)


def _permuted(code: Code, forms: Any, start: Any, entries: Any, end: Any, groups: Any) -> None:
    """`f((codes,), (source, entries, target, groups))`: the entry for code c is at `entries` + c modulo their number."""
    size, instruction, kind = forms[0][0].element.width // 8, Vpermi2b(), vector(I8, BYTES)
    tables = [code.load(code.offset(entries, place), kind) for place in range(0, PERMUTED[size], BYTES)]

    def body(group: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
        place = code.builder.mul(group, code.constant(BYTES, I64))
        here = code.offset(start, code.builder.mul(place, code.constant(size, I64)))
        many = code.load(here, vector(I8, BYTES * size))
        low = code.shuffle(many, range(0, BYTES * size, size))
        found = [instruction.pick(code, low, *tables[i : i + 2]) for i in range(0, len(tables), 2)]
        found = _halved(code, found, low, 7)
        if size > 1:
            high = code.shuffle(many, range(1, BYTES * size, size))
            found = _halved(code, _halved(code, found, high, 0), high, 1)
        code.store(found[0], code.offset(end, place))
        return []

    code.loop(groups, [], body)


def _halved(code: Code, found: list[ir.Value], codes: ir.Value, bit: int) -> list[ir.Value]:
    """Of every two of `found`, the second in lanes where `bit` of `codes` is set."""
    build = code.builder
    chosen = build.trunc(build.lshr(codes, code.constant(bit, codes.type)), vector(I1, BYTES))
    return [build.select(chosen, found[i + 1], found[i]) for i in range(0, len(found), 2)]


_sixteens = over_arrays(_each)
_sixty_fours = over_arrays(_permuted)


def _lookup(codes: Integers, least: int, table: Integers, out: Integers) -> None:
    """out = table[codes - least] of flat arrays, `table` and `out` of one type."""
    groups = codes.shape[0] // LANES
    if groups > 0:
        entries = table.ctypes.data - least * table.itemsize
        _sixteens((codes, out, table), (codes.ctypes.data, entries, out.ctypes.data, groups))
    for i in range(groups * LANES, codes.shape[0]):
        out[i] = table[np.int64(codes[i]) - least]


def _lookup_permuted(codes: Integers, least: int, entries: int, table: Integers, out: Integers) -> None:
    """The same of bytes: `codes` uint8 or uint16 whatever their sign, `table` and `out` uint8; entries: `PERMUTED`."""
    turned = np.zeros(entries, np.uint8)  # each entry where its code lies, modulo a power of two
    for i in range(table.shape[0]):
        turned[(least + i) & (entries - 1)] = table[i]
    groups = codes.shape[0] // BYTES
    if groups > 0:
        _sixty_fours((codes,), (codes.ctypes.data, turned.ctypes.data, out.ctypes.data, groups))
    for i in range(groups * BYTES, codes.shape[0]):
        out[i] = turned[np.int64(codes[i]) & (entries - 1)]


lookup = kernel(_lookup)
lookup_permuted = kernel(_lookup_permuted)
