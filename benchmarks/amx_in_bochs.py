"""The machine code of the matrix tier (hwsim/kernels/tiers/amx.py), run in Bochs, which has AMX where this CPU has not.

    python benchmarks/amx_in_bochs.py --bochs PATH

compiles the tier's kernels for Sapphire Rapids, links them with what calls them (amx_in_bochs.S), and computes products on
the tier with an emulated machine for each call: its memory holds the arguments, and the results come back from it. Sums and
codes are compared with the oracle tier's; the exit status is 1 if a value differs, or if none does where one byte of an
operand was changed. The last table says how often instructions were executed in one product. Bochs is built by

    cd bochs
    sed -i '/DPBDUS(Bit32u/,/return/s/Bit32s(ybyte/Bit32s((Bit8s) ybyte/' cpu/avx/amx.cc
    ./configure --with-nogui --enable-x86-64 --enable-long-phy-address --enable-avx --enable-evex --enable-amx
    make

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
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import boolean, int32, int64, types, uint8

from hwsim.kernels.simd.instructions import Vpdpbusd
from hwsim.kernels.simd.matrix import Amx, MatrixTiles
from hwsim.kernels.simd.product import RAW, Driver, drive
from hwsim.kernels.simd.tier import SimdTier
from hwsim.kernels.tier import Finish, Grid
from hwsim.kernels.tiers.oracle import Oracle

A, B, WORDS, QUADS = (types.Array(kind, rank, "C") for kind, rank in ((uint8, 3), (uint8, 2), (int32, 2), (int64, 2)))
LINE, ZEROS = types.Array(int64, 1, "C"), types.Array(int64, 1, "A")
SIGNATURES: dict[str, tuple[Any, ...]] = {
    "product": (A, B, *[WORDS] * 4, QUADS, *[WORDS] * 2, *[int64] * 3, boolean, *[int64] * 4, LINE, int64, LINE),
    "column_terms": (B, *[int64] * 3, ZEROS, ZEROS, int64, boolean, WORDS),
    "row_terms": (A, ZEROS, int64, boolean, WORDS),
}

BASE, BLOCK, END = 0x200000, 0x300000, 0x5FF000
"""In the guest's memory: its code, the orders of one call, and the end of what the host can put there."""
LAYOUT = f"""SECTIONS {{
    . = {BASE}; .image : {{ *(.text .ltext*) *(.rodata* .lrodata* .eh_frame*) *(.data) *(COMMON) }}
    . = 0xfffff000; .rom : {{ *(.rom) }} }}"""
OPTIONS = (
    "cpu: model=sapphire_rapids, count=1, ips=100000000, reset_on_triple_fault=0\nmemory: guest=32, host=32\n"
    "romimage: file=memory.bin\nvgaromimage: file=nothing.bin\ndisplay_library: nogui\nport_e9_hack: enabled=1\n"
    "config_interface: textconfig\nclock: sync=none\nlog: log.txt\npanic: action=fatal\n"
)
MARK, GUARD = b"<hwsim-in-bochs>", bytes(range(64))  # begins an answer; stays before and after every result
TRUE = drive("amx", MatrixTiles(Amx(), Vpdpbusd(16)))  # its kernels are compiled here, never called


def compile_into(folder: Path) -> int:
    """An object per kernel."""
    for name, signature in SIGNATURES.items():
        function: Any = getattr(TRUE, name)
        function.compile(signature)
        (result,) = function.overloads.values()
        (folder / f"{name}.o").write_bytes(result.library._get_compiled_object())
    return 0


class Block:
    """The orders of a call: arguments as compiled code takes them, the memory they lie in, and what is to come back."""

    def __init__(self) -> None:
        self.free = BLOCK + 0x1000
        self.memory: dict[int, bytes] = {}
        self.back: list[tuple[int, int]] = []
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
    """Starts an emulated machine for every call of a kernel."""

    def __init__(self, bochs: str, folder: Path) -> None:
        self.bochs, self.folder = os.path.abspath(bochs), folder
        self.counting = self.spoiling = False  # executions by kind; a byte of the right operand
        self.instructions, self.kinds = 0, Counter[str]()  # of products
        here = Path(__file__).resolve()
        cpu = {"NUMBA_CPU_NAME": "sapphirerapids", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(folder)}
        subprocess.run([sys.executable, here, "--compile-into", folder], env={**os.environ, **cpu}, check=True)
        texts = {"guest.S": here.with_suffix(".S").read_text(), "layout": LAYOUT, "options": OPTIONS}
        for name, text in {**texts, "nothing.bin": "\0" * 2048}.items():
            (folder / name).write_text(text)
        self._tool("as guest.S -o guest.o")
        # What only Python's wrappers of the kernels call is at address 0, where a call is a fault
        options = "-T layout --unresolved-symbols=ignore-all --no-warn-rwx-segments -z noexecstack -o image"
        self._tool(f"ld {options} guest.o {' '.join(f'{name}.o' for name in SIGNATURES)}")
        for section in ("image", "rom"):
            self._tool(f"objcopy -O binary -j .{section} image {section}.bin")
        listed = re.findall(r"^(\w+) \w (.+)$", self._tool("nm --defined-only image"), re.MULTILINE)
        self.symbols = {name: int(address, 16) for address, name in listed}

    def _tool(self, command: str) -> str:
        return subprocess.check_output(command.split(), cwd=self.folder, text=True)

    def driver(self) -> Driver:
        """Its kernels, in the shape of the true ones."""
        kernels: dict[str, Any] = {name: partial(self._terms, name) for name in SIGNATURES} | {"product": self._product}
        return replace(TRUE, **kernels)

    def _terms(self, name: str, *arguments: Any) -> None:
        """The last argument is the result."""
        block, out = Block(), arguments[-1]
        for argument in arguments:
            block.add(argument, argument is out)
        out[...] = np.frombuffer(self._call(name, block), out.dtype).reshape(out.shape)

    def _product(self, *arguments: Any) -> None:
        """Its result, and what may be added to it, are given by addresses."""
        mode, rows, columns, add, out, steps, inner, span = (arguments[i] for i in (11, *range(13, 20)))
        last = int(span[1]) - 1
        row = last // inner * int(steps[0]) + last % inner * int(steps[1]) + (rows - 1) * int(steps[2])
        length = row + columns * (4 if mode == RAW else mode & 7)
        block, given = Block(), list(arguments)
        given[15] = add and block.place(ctypes.string_at(add, length))
        given[16] = block.place(ctypes.string_at(out, length), back=True)
        if self.spoiling:
            given[1] = given[1] ^ np.eye(1, given[1].size, dtype=np.uint8)
        for argument in given:
            block.add(argument)
        ctypes.memmove(out, self._call("product", block), length)

    def _call(self, name: str, block: Block) -> bytes:
        """The first thing that is to come back."""
        image = (self.folder / "image.bin").read_bytes()
        counts = block.place(bytes(4 * len(image)), back=True) if self.counting else 0
        (function,) = (at for symbol, at in self.symbols.items() if re.match(rf"_ZN5hwsim\w*_{name}_amx", symbol))
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
        self.instructions += ticks if name == "product" else 0
        if self.counting and name == "product":
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

    m: int
    k: int
    n: int
    groups: int = 1
    left: tuple[int, bool] = (8, False)
    right: tuple[int, bool] = (8, True)
    zeros: bool = False
    static: bool = False  # one right operand for all groups
    size: int = 0  # bytes of a code; 0 for sums
    even: bool = False
    residual: bool = False

    def __str__(self) -> str:
        widths = " ".join(f"{'us'[signed]}{bits}" for bits, signed in (self.left, self.right))
        more = f"codes of {self.size} B" if self.size else "sums"
        more += ", even" * self.even + ", residual" * self.residual + ", zero points" * self.zeros
        return f"{self.groups}{'/1' * self.static} x {self.m} x {self.k} x {self.n} {widths}: {more}"

    def run(self, tier: SimdTier, seed: int, positive: bool) -> tuple[int, int]:
        """How many values were compared with the oracle's, and how many differ."""
        generator, oracle = np.random.default_rng(seed), Oracle()
        left, right = (self._grid(generator, *kind) for kind in (self.left, self.right))
        if positive:
            right = Grid(right.low, min(right.high, right.low + 127), np.array([[right.low]]))
        a = generator.integers(left.low, left.high + 1, (self.groups, self.m, self.k), np.int32)
        b = generator.integers(right.low, right.high + 1, (1 if self.static else self.groups, self.k, self.n), np.int32)
        assert tier.takes(left, right, self.k), self
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
        shape, high, kind = (1, self.n), (1 << min(30, 8 * self.size - 1)) - 1, np.dtype(f"i{self.size}")
        left = min(3, 30 - int(np.abs(sums).max()).bit_length())
        middle, spread = round(sums.mean()) << left, int(2 * sums.std()) << left
        right = generator.integers(0, 3, shape) + max(0, spread.bit_length() - high.bit_length() - 2)
        multiplier = np.where(generator.random(shape) < 0.5, 1 << 30, generator.integers(1 << 30, 1 << 31, shape))
        zero = generator.integers(-high // 8, high // 8 + 1, shape)
        words = (np.full(shape, left), multiplier, (1 << (31 + right)) - middle * multiplier, right, zero)
        arrays = tuple(values.astype(np.int64 if index == 2 else np.int32) for index, values in enumerate(words))
        finish = Finish.of(self.n, arrays, -high - 1, high, self.even, kind)
        add = generator.integers(-high // 2, high // 2, (self.groups, 1, self.m, self.n)).astype(kind)
        return replace(finish, residual=add) if self.residual else finish


SHAPES = ((33, 8, 130, 1), (50, 197, 64, 1), (1, 1, 1, 1), (197, 384, 64, 1), (45, 70, 50, 2))
KINDS = tuple(itertools.product(((4, False), (4, True), (8, False), (8, True)), ((4, True), (8, True), (8, False))))
DEIT = Case(197, 384, 1536, left=(8, True), zeros=True, size=1)  # the first product of an MLP


def cases() -> list[Case]:
    """Sums of every kind of operands, codes of every kind, in every shape some; two bytes by one; a product as in DeiT-S."""
    made = []
    for i, (m, k, n, g) in enumerate(SHAPES):
        some = [(j, kind) for j, kind in enumerate(KINDS) if i == 0 or (i + j) % 4 == 0]
        made += [Case(m, k, n, g, *kind, zeros=(i + j) % 8 < 4, static=j % 2 == 0) for j, kind in some]
        for j, (even, size) in enumerate(itertools.product((False, True), (1, 2, 4))):
            made.append(Case(m, k, n, g, *KINDS[(5 * i + j) % 12], j % 3 == 1, j % 2 == 0, size, even))
        made += [Case(m, k, 64, g, zeros=True, size=2, even=even, residual=True) for even in (False, True)]
    return [*made, Case(33, 70, 50, 2, (13, False), zeros=True), Case(33, 1536, 384), DEIT]


def main() -> int:
    """The tables."""
    parser = argparse.ArgumentParser(description="the machine code of the matrix tier, in Bochs")
    parser.add_argument("--bochs", default="bochs", help="the emulator's executable (%(default)s)")
    parser.add_argument("--positive", action="store_true", help="right operands without negative bytes")
    parser.add_argument("--compile-into", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.compile_into:
        return compile_into(options.compile_into)
    with tempfile.TemporaryDirectory() as folder:
        guest = Guest(shutil.which(options.bochs) or parser.error("--bochs: no such program"), Path(folder))
        tier, totals, began = SimdTier(guest.driver()), np.zeros(3, np.int64), time.perf_counter()
        print("| product | values | wrong | instructions |\n|:--|--:|--:|--:|")
        for seed, case in enumerate(cases()):
            before = guest.instructions
            row = (*case.run(tier, seed, options.positive), guest.instructions - before)
            totals += row
            print(f"| {case}", *row, sep=" | ", end=" |\n", flush=True)
        print(f"| all, {time.perf_counter() - began:.0f} s", *totals, sep=" | ", end=" |\n")
        guest.spoiling = True
        _, noticed = Case(197, 384, 64).run(tier, 0, options.positive)
        guest.spoiling, guest.counting = False, True
        DEIT.run(tier, 0, options.positive)
    print(f"\nOne byte of the right operand changed: {noticed} values are wrong.")
    print(f"\n| instructions of {DEIT} | executed |\n|:--|--:|")
    for name, times in guest.kinds.most_common():
        print(f"| {({'v': 'AVX-512', '': 'others'}).get(name, name)} | {times} |")
    return 1 if totals[1] or not noticed else 0


if __name__ == "__main__":
    sys.exit(main())
