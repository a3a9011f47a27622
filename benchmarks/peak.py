"""The peak of a tier: its dot-product instruction on registers alone, many independent sums, no memory.

`macs_per_call(tier)` gives a function, and how many multiply-accumulates one call of it is. For the portable tier, and as
the measure of float32 products, the instruction is the fused multiply-add.
"""

from collections.abc import Callable, Mapping

import numba
import numpy as np
from llvmlite import ir

from hwsim.kernels.kernel import features
from hwsim.kernels.simd.code import I32, I64, Code, inline, vector
from hwsim.kernels.simd.instructions import Instruction, Vpdpbusd, Vpmaddubsw
from hwsim.kernels.simd.matrix import Amx

SUMS, STEPS = 12, 5_000_000
"""Independent sums (they fit the registers of every tier), and steps of a call, each of one instruction per sum."""

VECTORS: Mapping[str, Callable[[], Instruction]] = {
    "avx512vnni": lambda: Vpdpbusd(16),
    "avxvnni": lambda: Vpdpbusd(8),
    "avx2": lambda: Short(),
}


class Short(Vpmaddubsw):
    """Sums of two products, added in 16 bits as tiles of narrow codes do."""

    def dot(self, code: Code, acc: ir.Value, u: ir.Value, s: ir.Value) -> ir.Value:
        """`acc` as 16-bit lanes."""
        pairs = self.pairs(code, u, s)
        return code.builder.bitcast(code.builder.add(code.builder.bitcast(acc, pairs.type), pairs), acc.type)


def macs_per_call(tier: str) -> tuple[Callable[[], object], float]:
    """A call on registers alone, and its multiply-accumulates."""
    if tier == "amx":
        from hwsim.kernels.choose import named

        named(tier)  # asks the system for the registers
        return _called(inline(_matrix), STEPS // 10), STEPS // 10 * 4 * 16 * 16 * 64
    if tier == "portable":
        lanes = 16 if "avx512f" in features() else 8
        return _called(inline(_fma(lanes)), STEPS), STEPS * SUMS * lanes
    instruction = VECTORS[tier]()
    return _called(inline(_vector(instruction)), STEPS), STEPS * SUMS * 4 * instruction.lanes


def _called(intrinsic: object, steps: int) -> Callable[[], object]:
    memory = np.ones(2048, np.uint8)

    @numba.njit(nogil=True)
    def loop(address, count):  # type: ignore[no-untyped-def]
        intrinsic((address, count))

    return lambda: loop(memory.ctypes.data, steps)


def _vector(instruction: Instruction) -> Callable[..., None]:
    kind = vector(I32, instruction.lanes)
    return _sums(kind, lambda code, acc, u, s: instruction.dot(code, acc, u, s))


def _fma(lanes: int) -> Callable[..., None]:
    kind = vector(ir.FloatType(), lanes)
    return _sums(kind, lambda code, acc, u, s: code.call(f"llvm.fma.v{lanes}f32", kind, u, s, acc))


def _sums(kind: ir.VectorType, step: Callable[..., ir.Value]) -> Callable[..., None]:
    def emit(code: Code, address: ir.Value, count: ir.Value) -> None:
        u, s = code.load(address, kind), code.load(code.offset(address, 64), kind)
        start = [code.load(code.offset(address, 128 + 64 * index), kind) for index in range(SUMS)]

        def body(_: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
            results, operand = [], u
            for acc in state:
                operand = _hidden(code, operand)
                results.append(step(code, acc, operand, s))
            return results

        for index, value in enumerate(code.loop(count, start, body)):
            code.store(value, code.offset(address, 128 + 64 * index))

    return emit


def _hidden(code: Code, value: ir.Value) -> ir.Value:
    """`value`, of which the compiler no longer knows that it is the same in every step; no instruction."""
    kind = ir.FunctionType(value.type, [value.type])
    register = "v" if value.type.count == 16 else "x"
    return code.builder.asm(kind, "", f"={register},0", [value], True)


def _matrix(code: Code, address: ir.Value, count: ir.Value) -> None:
    machine = Amx()
    machine.configure(code)
    for register in range(8):
        machine.clear(code, register)

    def body(_: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
        for sums in range(4):
            machine.dot(code, sums, 4 + sums // 2, 6 + sums % 2)
        return state

    code.loop(count, [], body)
    machine.store(code, 0, address, code.constant(64, I64))
    machine.release(code)
