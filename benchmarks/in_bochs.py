"""The machine code of a tier of kernels, run in Bochs, which has AMX and AVX-512 where this CPU has not.

    python benchmarks/in_bochs.py --bochs PATH [--tier avx512vnni]

compiles the tier's kernels for Sapphire Rapids, links them with what calls them (in_bochs.S), and computes products on
the tier with an emulated machine for each call: its memory holds the arguments, and the results come back from it. Sums and
codes are compared with the oracle tier's; the exit status is 1 if a value differs, or if none does where one byte of an
operand was changed. The last table says how often instructions were executed in one product. Bochs is built by

    sed -i '/DPBDUS(Bit32u/,/return/s/Bit32s(ybyte/Bit32s((Bit8s) ybyte/' cpu/avx/amx.cc
    ./configure --with-nogui --enable-x86-64 --enable-long-phy-address --enable-avx --enable-evex --enable-amx && make

where `sed` makes the second operand of `tdpbusd` signed, as Intel's manual has it: in Bochs 3.0 of August 2026 both are
unsigned. As it is, it passes with `--positive`: no negative bytes in right operands. GNU binutils 2.39 or newer are needed.
"""

import argparse
import ctypes
import itertools
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
from numba import boolean, int32, int64, types, uint8

from hwsim.kernels.choose import kind_of
from hwsim.kernels.simd.product import RAW, Driver, _product
from hwsim.kernels.simd.terms import Terms
from hwsim.kernels.simd.tier import SimdTier
from hwsim.kernels.tier import Array, Finish, Grid
from hwsim.kernels.tiers.oracle import Oracle

B, WORDS, QUADS = (types.Array(kind, 2, "C") for kind in (uint8, int32, int64))
LINE, ZEROS = types.Array(int64, 1, "C"), types.Array(int64, 1, "A")
A = int64, LINE, int64
PRODUCT = (*A, B, *[WORDS] * 4, QUADS, *[WORDS] * 2, *[int64] * 3, boolean, *[int64] * 5, LINE, LINE)
COLUMNS, ROWS = (B, *[int64] * 3, ZEROS, ZEROS, int64, boolean, WORDS), (*A, ZEROS, int64, boolean, WORDS)
TIERS = ("amx", "avx512vnni", "avxvnni", "avx2")

BASE, BLOCK, END = 0x200000, 0x300000, 0x5FF000  # of the guest: its code, the orders of a call, the end of its data
LAYOUT = f"""SECTIONS {{
    . = {BASE}; .image : {{ *(.text .ltext*) *(.rodata* .lrodata* .eh_frame*) *(.data) *(COMMON) }}
    . = 0xfffff000; .rom : {{ *(.rom) }} }}"""
OPTIONS = """cpu: model=sapphire_rapids, reset_on_triple_fault=0\nmemory: guest=32, host=32\nport_e9_hack: enabled=1
romimage: file=memory.bin\nvgaromimage: file=rom.bin\nconfig_interface: textconfig\ndisplay_library: nogui
clock: sync=none\nlog: log.txt\npanic: action=fatal\n"""
MARK, GUARD = b"<hwsim-in-bochs>", bytes(range(64))  # begins an answer; stays before and after every result


def true_tier(name: str) -> SimdTier:
    """The tier, whose kernels are compiled here, never called."""
    with mock.patch("hwsim.kernels.tiers.amx._ask_permission"):
        tier = kind_of(name)()
    assert isinstance(tier, SimdTier)
    return tier


def compile_into(folder: Path, name: str) -> int:
    """An object per kernel of the tier `name`."""
    tier = true_tier(name)
    kernels: dict[str, tuple[Any, tuple[Any, ...]]] = {
        f"product_{name}": (tier.bytes.driver.product, PRODUCT),
        f"product_{name}_words": (tier.words.driver.product, PRODUCT),
        f"column_terms_{name}": (tier.bytes.terms.columns, COLUMNS),
        f"row_terms_{name}": (tier.bytes.terms.rows, ROWS),
    }
    for symbol, (function, kinds) in kernels.items():
        function.compile(kinds)
        (result,) = function.overloads.values()
        (folder / f"{symbol}.o").write_bytes(result.library._get_compiled_object())
    return 0


def reach(strides: Array, groups: int, rows: int, width: int) -> int:
    """Bytes from the first to the last of (groups, rows, width); strides as in simd/product.py."""
    outer, inner, row, count = map(int, strides)
    return (groups - 1) // count * outer + min(groups - 1, count - 1) * inner + (rows - 1) * row + width


class Block:
    """The orders of a call: arguments as compiled code takes them, the memory they lie in, and what is to come back."""

    def __init__(self) -> None:
        self.free, self.memory, self.back = BLOCK + 0x1000, dict[int, bytes](), list[tuple[int, int]]()
        self.words = [self.place(bytes(8))] * 2  # where a result and an exception would go

    def place(self, data: bytes, back: bool = False) -> int:
        """The address of a copy of `data`."""
        start = self.free
        self.memory[start] = GUARD + data + GUARD
        self.back += [(start, len(data) + 128)] * back
        self.free += (len(data) + 191) // 64 * 64
        return start + 64

    def add(self, value: Any, back: bool = False) -> None:
        """One more argument."""
        if isinstance(value, np.ndarray):
            value = np.ascontiguousarray(value)
            address = self.place(value.tobytes(), back)
            self.words += [0, 0, value.size, value.itemsize, address, *value.shape, *value.strides]
        else:
            self.words.append(int(value))


class Guest:
    """Starts an emulated machine for every call of a kernel of the tier `name`."""

    def __init__(self, bochs: str, folder: Path, name: str) -> None:
        self.bochs, self.folder, self.name = os.path.abspath(bochs), folder, name
        self.counting = self.spoiling = False  # executions by kind; a byte of the right operand
        self.instructions, self.kinds = 0, Counter[str]()  # of products
        here = Path(__file__).resolve()
        cpu = {"NUMBA_CPU_NAME": "sapphirerapids", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(folder)}
        subprocess.run(
            [sys.executable, here, "--tier", name, "--compile-into", folder], env={**os.environ, **cpu}, check=True
        )
        texts = {"guest.S": here.with_suffix(".S").read_text(), "layout": LAYOUT, "options": OPTIONS}
        for file, text in texts.items():
            (folder / file).write_text(text)
        self._tool("as guest.S -o guest.o")
        # What only Python's wrappers of the kernels call is at address 0, where a call is a fault
        options = "-T layout --unresolved-symbols=ignore-all --no-warn-rwx-segments -z noexecstack -o image"
        self._tool(f"ld {options} guest.o {' '.join(found.name for found in folder.glob(f'*_{name}*.o'))}")
        self._tool("objcopy -O binary -j .image image image.bin")
        self._tool("objcopy -O binary -j .rom image rom.bin")
        listed = re.findall(r"^(\w+) \w (.+)$", self._tool("nm --defined-only image"), re.MULTILINE)
        self.symbols = {name: int(address, 16) for address, name in listed}

    def _tool(self, command: str) -> str:
        return subprocess.check_output(command.split(), cwd=self.folder, text=True)

    def tier(self) -> SimdTier:
        """Its kernels, in the shape of the true ones."""
        tier, name = true_tier(self.name), self.name
        rows, columns = partial(self._terms, f"row_terms_{name}"), partial(self._terms, f"column_terms_{name}")
        bytes_, words = (
            replace(driver, product=partial(self._product, driver, symbol))
            for symbol, driver in ((f"product_{name}", tier.bytes.driver), (f"product_{name}_words", tier.words.driver))
        )
        tier.bytes = replace(tier.bytes, driver=bytes_, terms=Terms(columns, rows))
        tier.words = replace(tier.words, driver=words)
        return tier

    def _terms(self, name: str, *arguments: Any) -> None:
        """The last argument is the result."""
        block, given, out = Block(), list(arguments), arguments[-1]
        if name.startswith("row_terms"):
            given[0] = block.place(
                ctypes.string_at(given[0], reach(given[1], out.shape[0], out.shape[1], 8 * given[2]))
            )
        for argument in given:
            block.add(argument, argument is out)
        out[...] = np.frombuffer(self._call(name, block), out.dtype).reshape(out.shape)

    def _product(self, driver: Driver, name: str, *arguments: Any) -> None:
        """The left operand, what may be added to the result, and the result are given by their addresses."""
        block, given = Block(), dict(zip(signature(_product).parameters, arguments, strict=True))
        groups, rows, mode, out = int(given["span"][1]), given["rows"], given["mode"], given["out"]
        length = reach(given["out_strides"], groups, rows, given["columns"] * (4 if mode == RAW else mode & 7))
        read = reach(given["a_strides"], groups, max(rows, driver.height), 8 * given["eights"])
        given["a"] = block.place(ctypes.string_at(given["a"], read))
        given["add"] = given["add"] and block.place(ctypes.string_at(given["add"], length))
        given["out"] = block.place(ctypes.string_at(out, length), back=True)
        if self.spoiling:
            given["b"] = given["b"] ^ np.eye(1, given["b"].size, dtype=np.uint8)
        for argument in given.values():
            block.add(argument)
        ctypes.memmove(out, self._call(name, block), length)

    def _call(self, name: str, block: Block) -> bytes:
        """The first thing that is to come back."""
        image = (self.folder / "image.bin").read_bytes()
        counts = block.place(bytes(4 * len(image)), back=True) if self.counting else 0
        (function,) = (at for symbol, at in self.symbols.items() if re.match(rf"_ZN5hwsim\w*_{name}B", symbol))
        words = (function, counts, len(block.words), *block.words, len(block.back), *itertools.chain(*block.back))
        orders = b"".join(word.to_bytes(8, "little", signed=True) for word in words)
        assert block.free < END, "the operands are too large"
        memory = bytearray(END - BASE)
        for address, data in {BASE: image, BLOCK: orders, **block.memory}.items():
            memory[address - BASE : address - BASE + len(data)] = data
        (self.folder / "memory.bin").write_bytes(memory + (self.folder / "rom.bin").read_bytes())
        command = (self.bochs, "-q", "-f", "options")  # it never ends after a fault in a fault
        done = subprocess.run(command, cwd=self.folder, input=b"", capture_output=True, timeout=300, check=False)
        _, mark, answer = done.stdout.partition(MARK)
        status, ticks = struct.unpack_from("<2Q", answer) if mark else (-1, 0)
        if status:  # 256 and the number of a fault, where it was; or what a kernel returned
            raise SystemExit(f"error: {name} in Bochs: status {status}, {ticks:#x}")
        ends = itertools.accumulate((length for _, length in block.back), initial=16)
        results = [answer[start:stop] for start, stop in itertools.pairwise(ends)]
        assert all(result[:64] == GUARD == result[-64:] for result in results), f"{name} wrote outside of its result"
        product = name.startswith("product")
        self.instructions += ticks if product else 0
        if product and self.counting:
            self._count(np.frombuffer(results[-1][64:-64], np.uint32))
        return results[0][64:-64]

    def _count(self, counts: npt.NDArray[np.uint32]) -> None:
        """Executions of every address to those of every mnemonic; none is left over."""
        kernels = self.symbols["kernels"] - BASE
        for line in self._tool("objdump -d --no-show-raw-insn image").splitlines():
            address, colon, text = line.partition(":\t")
            if colon and kernels <= int(address, 16) - BASE < len(counts):
                (name,) = re.findall("^(?:tile\\w*|tdp\\w*|ldtile\\w*|v?)", text)
                self.kinds[name] += int(counts[int(address, 16) - BASE])
        assert self.kinds.total() == counts[kernels:].sum()


@dataclass(frozen=True)
class Case:
    """A product (groups, m, k) @ (groups or 1, k, n), widths and signs of its codes, and how its sums are finished."""

    shape: tuple[int, int, int, int]  # groups, m, k, n
    left: tuple[int, bool] = (8, False)
    right: tuple[int, bool] = (8, True)
    zeros: bool = False
    static: bool = False  # one right operand for all groups
    size: int = 0  # bytes of a code; 0 for sums
    even: bool = False
    residual: bool = False

    def __str__(self) -> str:
        widths = " ".join(f"{'us'[signed]}{bits}" for bits, signed in (self.left, self.right))
        more = (f"codes of {self.size} B" if self.size else "sums") + ", one right operand" * self.static
        more += ", even" * self.even + ", residual" * self.residual + ", zero points" * self.zeros
        return f"{' x '.join(map(str, self.shape))} {widths}: {more}"

    def run(self, tier: SimdTier, seed: int, positive: bool) -> tuple[int, int]:
        """How many values were compared with the oracle's, and how many differ."""
        generator, oracle, (groups, m, k, n) = np.random.default_rng(seed), Oracle(), self.shape
        left, right = (self._grid(generator, *kind) for kind in (self.left, self.right))
        if positive:
            right = Grid(right.low, min(right.high, right.low + 127), np.array([[right.low]]))
        a = generator.integers(left.low, left.high + 1, (groups, m, k), np.int32)
        b = generator.integers(right.low, right.high + 1, (1 if self.static else groups, k, n), np.int32)
        assert tier.takes(left, right, k), self
        packed, theirs = oracle.pack(b, right, left), tier.pack(b, right, left)
        finish = self._finish(generator, oracle.product(a, left, packed)) if self.size else None
        wanted, result = oracle.product(a, left, packed, finish), tier.product(a, left, theirs, finish)
        assert (result.dtype, result.shape) == (wanted.dtype, wanted.shape), self
        return wanted.size, int(np.count_nonzero(result != wanted))

    def _grid(self, generator: np.random.Generator, bits: int, signed: bool) -> Grid:
        low = -(1 << (bits - 1)) if signed else 0
        zero = generator.integers(low, low + (1 << bits), (1, 1)) if self.zeros else np.zeros((1, 1), np.int64)
        return Grid(low, low + (1 << bits) - 1, zero)

    def _finish(self, generator: np.random.Generator, sums: npt.NDArray[np.int32]) -> Finish:
        """Constants per column; half of the multipliers are powers of two, and make ties; some codes saturate."""
        shape, high, kind = (1, self.shape[3]), (1 << min(30, 8 * self.size - 1)) - 1, np.dtype(f"i{self.size}")
        left = min(3, 30 - int(np.abs(sums).max()).bit_length())
        middle, spread = round(sums.mean()) << left, int(2 * sums.std()) << left
        right = generator.integers(0, 3, shape) + max(0, spread.bit_length() - high.bit_length() - 2)
        multiplier = np.where(generator.random(shape) < 0.5, 1 << 30, generator.integers(1 << 30, 1 << 31, shape))
        zero = generator.integers(-high // 8, high // 8 + 1, shape)
        words = (np.full(shape, left), multiplier, (1 << (31 + right)) - middle * multiplier, right, zero)
        arrays = tuple(values.astype(np.int64 if index == 2 else np.int32) for index, values in enumerate(words))
        finish = Finish.of(self.shape[3], arrays, -high - 1, high, self.even, kind)
        add = generator.integers(-high // 2, high // 2, sums.shape).astype(kind)
        return replace(finish, residual=add) if self.residual else finish


SHAPES = ((1, 33, 8, 130), (1, 50, 197, 64), (1, 1, 1, 1), (1, 197, 384, 64), (2, 45, 70, 50))
KINDS = tuple(itertools.product(((4, False), (4, True), (8, False), (8, True)), ((4, True), (8, True), (8, False))))
DEIT = Case((1, 197, 384, 1536), left=(8, True), zeros=True, size=1)  # the first product of an MLP


def cases() -> list[Case]:
    """Sums of every kind of operands, codes of every kind, in every shape some; two bytes by one and by two; a product as in
    DeiT-S."""
    made = []
    for i, shape in enumerate(SHAPES):
        some = [(j, kind) for j, kind in enumerate(KINDS) if i == 0 or (i + j) % 4 == 0]
        made += [Case(shape, *kind, zeros=(i + j) % 8 < 4, static=i == 4 and j > 6) for j, kind in some]
        for j, (even, size) in enumerate(itertools.product((False, True), (1, 2, 4))):
            made.append(Case(shape, *KINDS[(5 * i + j) % 12], j % 3 == 1, i == 4 and j > 3, size, even))
        made += [Case((*shape[:3], 64), zeros=True, size=2, even=even, residual=True) for even in (False, True)]
        words = [Case((2, 33, 70, 50), (13, False), zeros=True), Case((1, 41, 197, 64), (15, False), (8, True), size=1)]
    words += [Case((1, 19, 90, 130), (16, False)), Case((1, 50, 45, 70), (12, True), (10, True), zeros=True, size=2)]
    return [*made, *words, Case((1, 33, 1536, 384)), DEIT]


def main() -> int:
    """The tables."""
    parser = argparse.ArgumentParser(description="the machine code of a tier, in Bochs")
    parser.add_argument("--tier", choices=TIERS, default=TIERS[0], help="which one (%(default)s)")
    parser.add_argument("--bochs", default="bochs", help="the emulator's executable (%(default)s)")
    parser.add_argument("--positive", action="store_true", help="right operands without negative bytes")
    parser.add_argument("--compile-into", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.compile_into:
        return compile_into(options.compile_into, options.tier)
    with tempfile.TemporaryDirectory() as folder:
        guest = Guest(
            shutil.which(options.bochs) or parser.error("--bochs: no such program"), Path(folder), options.tier
        )
        tier, totals, began = guest.tier(), np.zeros(3, np.int64), time.perf_counter()
        print("| product | values | wrong | instructions |\n|:--|--:|--:|--:|")
        for seed, case in enumerate(cases()):
            tier.pairs = tier.pairable and seed % 2 == 1
            row = (*case.run(tier, seed, options.positive), guest.instructions - int(totals[2]))
            totals += row
            print(f"| {case}", *row, sep=" | ", end=" |\n", flush=True)
        print(f"| all, {time.perf_counter() - began:.0f} s", *totals, sep=" | ", end=" |\n")
        guest.spoiling = True
        _, noticed = Case((1, 197, 384, 64)).run(tier, 0, options.positive)
        guest.spoiling, guest.counting = False, True
        DEIT.run(tier, 0, options.positive)
    print(f"\nWrong where one byte was changed: {noticed}\n\n| instructions of {DEIT} | executed |\n|:--|--:|")
    for name, times in guest.kinds.most_common():
        print(f"| {({'v': 'AVX-512', '': 'others'}).get(name, name)} | {times} |")
    return 1 if totals[1] or not noticed else 0


if __name__ == "__main__":
    sys.exit(main())
