"""The instructions that only some CPUs have: dot products of bytes, and tables of bytes.

A dot product is a class with `lanes` (32-bit accumulators of a register) and `dot(code, acc, u, s)`, on vectors of i32:
sums of four products of unsigned by signed bytes, or of two of signed words, added to 32-bit lanes. This is the one place
that names instructions of a CPU; LLVM stops the process where the CPU lacks them, so tiers are probed first.
Names and operand types are LLVM's as of version 14 to 22 (IntrinsicsX86.td).
"""

from typing import Protocol

from llvmlite import ir

from hwsim.kernels.simd.code import I8, I16, I32, Code, vector


class Instruction(Protocol):
    """What a tier's tiles are built on."""

    lanes: int

    def dot(self, code: Code, acc: ir.Value, u: ir.Value, s: ir.Value) -> ir.Value:
        """acc + sum of the products u * s in each 32-bit lane."""
        ...


class Pairs(Instruction, Protocol):
    """One whose sums of two products can stay short."""

    def pairs(self, code: Code, u: ir.Value, s: ir.Value) -> ir.Value:
        """Sums of two u * s in each 16-bit lane."""
        ...

    def widened(self, code: Code, pairs: ir.Value) -> ir.Value:
        """Sums of two 16-bit lanes in each 32-bit lane."""
        ...


class Vpdpbusd:
    """`vpdpbusd`: AVX512-VNNI in 512 bits, AVX-VNNI (or AVX512-VNNI with VL) in 256 bits; exact in 32 bits."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes

    def dot(self, code: Code, acc: ir.Value, u: ir.Value, s: ir.Value) -> ir.Value:
        """One instruction."""
        return code.call(f"llvm.x86.avx512.vpdpbusd.{32 * self.lanes}", acc.type, acc, u, s)


class Vpmaddubsw:
    """`vpmaddubsw`, `vpmaddwd` and an addition (AVX2); exact while two products fit a signed 16-bit integer."""

    lanes = 8

    def dot(self, code: Code, acc: ir.Value, u: ir.Value, s: ir.Value) -> ir.Value:
        """Pairs to 16 bits, which saturate; pairs of those to 32 bits."""
        return code.builder.add(acc, self.widened(code, self.pairs(code, u, s)))

    def pairs(self, code: Code, u: ir.Value, s: ir.Value) -> ir.Value:
        """Sums of two u * s in each 16-bit lane."""
        bytes_, cast = vector(I8, 4 * self.lanes), code.builder.bitcast
        return code.call("llvm.x86.avx2.pmadd.ub.sw", vector(I16, 2 * self.lanes), cast(u, bytes_), cast(s, bytes_))

    def widened(self, code: Code, pairs: ir.Value) -> ir.Value:
        """Sums of two 16-bit lanes in each 32-bit lane."""
        return code.call("llvm.x86.avx2.pmadd.wd", vector(I32, self.lanes), pairs, code.constant(1, pairs.type))


class Vpmaddwd:
    """`vpmaddwd` and an addition, of words (AVX2, in 512 bits AVX512-BW). Where the CPU has VNNI, LLVM makes one
    instruction of the two, `vpdpwssd`. Sums wrap, as 32-bit additions do."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes

    def dot(self, code: Code, acc: ir.Value, u: ir.Value, s: ir.Value) -> ir.Value:
        """Two products in each lane."""
        words = vector(I16, 2 * self.lanes)
        name = "llvm.x86.avx512.pmaddw.d.512" if self.lanes == 16 else "llvm.x86.avx2.pmadd.wd"
        return code.builder.add(acc, code.call(name, acc.type, *(code.builder.bitcast(v, words) for v in (u, s))))


class Vpermi2b:
    """`vpermi2b` (AVX512-VBMI: Intel since Ice Lake, AMD since Zen 4): bytes of two registers by their places."""

    lanes = 64
    features = ("avx512vbmi", "avx512bw")

    def pick(self, code: Code, index: ir.Value, first: ir.Value, second: ir.Value) -> ir.Value:
        """For each byte of `index`, modulo 128, the byte of `first` or, counted on, `second`."""
        return code.call("llvm.x86.avx512.vpermi2var.qi.512", first.type, first, index, second)
