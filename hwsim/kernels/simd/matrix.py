"""Tiles of products on matrix registers (AMX): 32 rows by up to two registers' columns, K in steps of 64.

Matrix registers 0 to 3 hold the sums, 4 and 5 two blocks of 16 rows of the left operand, 6 and 7 two of 16 columns of the
right one: every block that is loaded is used twice. The packed layout of the right operand (packing.py) is the one that
these instructions read: four k of sixteen columns in 64 bytes.
"""

from typing import Any, Protocol

from llvmlite import ir

from hwsim.kernels.simd.code import I8, I64, Code, inline, vector
from hwsim.kernels.simd.instructions import Instruction
from hwsim.kernels.simd.tiles import Tiles

REGISTERS, ROWS, ROW_BYTES, STEP = 8, 16, 64, 64
LEFT, RIGHT = 4, 6
"""First register of each operand."""


class Machine(Protocol):
    """What the tiles are written for: instructions on matrix registers of 16 rows of 64 bytes."""

    def configure(self, code: Code) -> None:
        """Before the first of the others."""

    def release(self, code: Code) -> None:
        """After the last."""

    def clear(self, code: Code, register: int) -> None:
        """All zero."""

    def load(self, code: Code, register: int, address: ir.Value, stride: ir.Value) -> None:
        """16 rows, `stride` bytes apart."""

    def dot(self, code: Code, sums: int, left: int, right: int) -> None:
        """Add the product of unsigned bytes (16, 64) and signed ones, in fours of k, to int32 (16, 16)."""

    def store(self, code: Code, register: int, address: ir.Value, stride: ir.Value) -> None:
        """16 rows, `stride` bytes apart."""


class Amx:
    """The instructions themselves, with the registers named in them (LLVM's forms that take numbers, not values)."""

    def configure(self, code: Code) -> None:
        """Palette 1, every register 16 rows of 64 bytes."""
        table = bytearray(64)
        table[0] = 1
        for register in range(REGISTERS):
            table[16 + 2 * register] = ROW_BYTES
            table[48 + register] = ROWS
        kind = vector(I8, 64)
        place = code.builder.alloca(kind)
        place.align = 64
        code.builder.store(ir.Constant(kind, list(table)), place, align=64)
        code.call("llvm.x86.ldtilecfg", ir.VoidType(), place)

    def release(self, code: Code) -> None:
        """The registers are free again, and cost nothing at a change of threads."""
        code.call("llvm.x86.tilerelease", ir.VoidType())

    def clear(self, code: Code, register: int) -> None:
        """tilezero."""
        code.call("llvm.x86.tilezero", ir.VoidType(), code.constant(register, I8))

    def load(self, code: Code, register: int, address: ir.Value, stride: ir.Value) -> None:
        """tileloadd."""
        pointer = code.builder.inttoptr(address, I8.as_pointer())
        code.call("llvm.x86.tileloadd64", ir.VoidType(), code.constant(register, I8), pointer, stride)

    def dot(self, code: Code, sums: int, left: int, right: int) -> None:
        """tdpbusd."""
        registers = (code.constant(register, I8) for register in (sums, left, right))
        code.call("llvm.x86.tdpbusd", ir.VoidType(), *registers)

    def store(self, code: Code, register: int, address: ir.Value, stride: ir.Value) -> None:
        """tilestored."""
        pointer = code.builder.inttoptr(address, I8.as_pointer())
        code.call("llvm.x86.tilestored64", ir.VoidType(), code.constant(register, I8), pointer, stride)


class MatrixTiles(Tiles):
    """Tiles of 32 rows on the matrix registers of `machine`; sums of rows and columns by `instruction`."""

    depth = STEP

    def __init__(self, machine: Machine, instruction: Instruction) -> None:
        super().__init__(instruction, height=2 * ROWS, vectors=2)
        self.machine = machine
        self.begin = inline(lambda code, _: machine.configure(code))
        self.end = inline(lambda code, _: machine.release(code))

    def plain(self, vectors: int) -> Any:
        """As in the base; `eights` is a multiple of 8."""
        machine = self.machine

        def emit(code: Code, a: Any, stride: Any, b: Any, eights: Any, _run: Any, out: Any) -> None:
            build = code.builder
            apart = code.constant(vectors * ROW_BYTES, I64)
            lower = code.offset(a, build.mul(stride, code.constant(ROWS, I64)))
            for register in range(2 * vectors):
                machine.clear(code, register)

            def body(index: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
                along = build.mul(index, code.constant(STEP, I64))
                for half, rows in enumerate((a, lower)):
                    machine.load(code, LEFT + half, code.offset(rows, along), stride)
                panel = code.offset(b, build.mul(along, code.constant(vectors * ROWS, I64)))
                for j in range(vectors):
                    machine.load(code, RIGHT + j, code.offset(panel, j * ROW_BYTES), apart)
                for half in (0, 1):
                    for j in range(vectors):
                        machine.dot(code, half * vectors + j, LEFT + half, RIGHT + j)
                return []

            code.loop(build.lshr(eights, code.constant(3, I64)), [], body)
            for half in (0, 1):
                for j in range(vectors):
                    place = code.offset(out, half * ROWS * vectors * ROW_BYTES + j * ROW_BYTES)
                    machine.store(code, half * vectors + j, place, apart)

        return inline(emit)
