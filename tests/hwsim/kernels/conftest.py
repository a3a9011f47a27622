"""Tiers as tests name them, one more of which emulates matrix registers, and products of them in unbounded integers."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from llvmlite import ir

from hwsim.kernels import choose
from hwsim.kernels.simd.code import I8, I16, I32, I64, vector
from hwsim.kernels.simd.matrix import REGISTERS, ROW_BYTES, ROWS, MatrixTiles
from hwsim.kernels.simd.tier import SimdTier
from hwsim.kernels.simd.tiles import Tiles

ROW, WORDS = vector(I8, ROW_BYTES), vector(I16, ROW_BYTES // 2)


class Emulator:
    """`hwsim.kernels.simd.matrix.Machine` in vector code: the registers lie in memory, which allows one thread alone."""

    def configure(self, code):
        """Nothing."""

    def release(self, code):
        """Nothing."""

    def clear(self, code, register):
        for row in range(ROWS):
            code.store(code.constant(0, ROW), code.offset(self._place(code, register), ROW_BYTES * row))

    def load(self, code, register, address, stride):
        for theirs, ours in self._rows(code, register, address, stride):
            code.store(code.load(theirs, ROW), ours)

    def store(self, code, register, address, stride):
        for theirs, ours in self._rows(code, register, address, stride):
            code.store(code.load(ours, ROW), theirs)

    def dot(self, code, sums, left, right):
        """For each row and each four of k, in loops."""
        build = code.builder
        out, a, b = (self._place(code, register) for register in (sums, left, right))

        def scaled(index, size):
            return build.mul(index, code.constant(size, I64))

        def over_rows(m, _):
            place = code.offset(out, scaled(m, ROW_BYTES))

            def over_fours(k, _):
                acc, columns = code.load(place, vector(I32, 16)), code.load(code.offset(b, scaled(k, ROW_BYTES)), ROW)
                word = code.offset(a, build.add(scaled(m, ROW_BYTES), scaled(k, 4)))
                for i in range(4):
                    u = code.splat(build.zext(code.load(code.offset(word, i), I8), I32), 16)
                    s = build.sext(code.shuffle(columns, range(i, ROW_BYTES, 4)), vector(I32, 16))
                    acc = build.add(acc, build.mul(u, s))
                code.store(acc, place)
                return []

            code.loop(code.constant(ROW_BYTES // 4, I64), [], over_fours)
            return []

        code.loop(code.constant(ROWS, I64), [], over_rows)

    def _rows(self, code, register, address, stride):
        for row in range(ROWS):
            theirs = code.offset(address, code.builder.mul(stride, code.constant(row, I64)))
            yield theirs, code.offset(self._place(code, register), ROW_BYTES * row)

    def _place(self, code, register):
        module, size = code.builder.module, ROWS * ROW_BYTES
        memory = module.globals.get("registers")
        if memory is None:
            memory = ir.GlobalVariable(module, ir.ArrayType(I8, REGISTERS * size), "registers")
            memory.linkage, memory.initializer = "internal", ir.Constant(memory.value_type, bytearray(REGISTERS * size))
        return code.offset(code.builder.ptrtoint(memory, I64), register * size)


class Generic:
    """A dot product (`instructions.Instruction`) of bytes, or of words, in vector code that any CPU has."""

    lanes = 16

    def __init__(self, kind):
        self.kind = kind

    def dot(self, code, acc, u, s):
        build = code.builder
        left, right = (build.bitcast(value, self.kind) for value in (u, s))
        each = self.kind.count // self.lanes
        extend = build.zext if self.kind is ROW else build.sext
        for i in range(each):
            lanes = range(i, self.kind.count, each)
            first, second = (
                extend(code.shuffle(left, lanes), acc.type),
                build.sext(code.shuffle(right, lanes), acc.type),
            )
            acc = build.add(acc, build.mul(first, second))
        return acc


class Emulated(SimdTier):
    """The matrix tier without its instructions; it is compiled again when this file changes."""

    name = "emulated"

    def __init__(self):
        digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]
        self.name = f"emulated_{digest}"
        super().__init__(MatrixTiles(Emulator(), Generic(ROW)), Tiles(Generic(WORDS), height=6, vectors=4))


@pytest.fixture(scope="session")
def tier_of():
    """`tier_of(name)`: a tier that this machine has, else the test is skipped; a trial that failed is a failure here too."""
    made = {}

    def find(name):
        refusal = {trial.name: trial.refusal for trial in choose.trials()}.get(name, "")
        if "the CPU lacks" in refusal or "the system must grant" in refusal:
            pytest.skip(f"{name}: {refusal}")
        assert not refusal, f"{name}: {refusal}"
        if name not in made:
            made[name] = Emulated() if name == "emulated" else choose.kind_of(name)()
        return made[name]

    return find


@pytest.fixture(scope="session")
def exact_product():
    """Sums (S3) of codes (G, M, K) and (G or 1, K, N) of two grids, as an object array of Python's integers."""

    def centred(codes, grid):
        index = np.arange(len(codes)) % len(grid.zero)
        return codes.astype(object) - grid.zero[index, np.newaxis].astype(object)

    return lambda left, grid, right, other: np.matmul(centred(left, grid), centred(right, other))
