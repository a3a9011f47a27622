"""Vector code as LLVM IR: what the intrinsics of this folder are written with.

Every helper emits one or a few instructions on vectors of any width; LLVM splits or widens them for the CPU at hand, so
the same text computes the same integers on all of them. Addresses are Python-side integers (`intp`), as Numba's
`array.ctypes.data` gives them.
"""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
F32, F64 = ir.FloatType(), ir.DoubleType()


def vector(kind: ir.Type, lanes: int) -> ir.VectorType:
    """The type of `lanes` elements of `kind`."""
    return ir.VectorType(kind, lanes)


class Code:
    """A writer of vector code at the place where `builder` stands."""

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.builder = builder

    def constant(self, value: int | float, kind: ir.Type) -> ir.Constant:
        """`value` as a scalar, or in every lane of a vector type."""
        return ir.Constant(kind, [value] * kind.count if isinstance(kind, ir.VectorType) else value)

    def offset(self, address: ir.Value, count: int | ir.Value) -> ir.Value:
        """`address` and `count` bytes more."""
        count = self.constant(count, I64) if isinstance(count, int) else count
        return self.builder.add(address, count)

    def load(self, address: ir.Value, kind: ir.Type, align: int = 1) -> ir.Value:
        """What stands at `address`, read as `kind`."""
        return self.builder.load(self.builder.inttoptr(address, kind.as_pointer()), align=align)

    def store(self, value: ir.Value, address: ir.Value, align: int = 1) -> None:
        """`value` to `address`."""
        self.builder.store(value, self.builder.inttoptr(address, value.type.as_pointer()), align=align)

    def fetch(self, address: ir.Value) -> None:
        """What stands at `address` into the cache, so that it is there when it is read."""
        pointer = self.builder.inttoptr(address, I8.as_pointer())
        read, keep, data = (self.constant(value, I32) for value in (0, 3, 1))
        self.call("llvm.prefetch.p0", ir.VoidType(), pointer, read, keep, data)

    def store_some(self, value: ir.Value, address: ir.Value, mask: ir.Value | None) -> None:
        """Those lanes of `value` that `mask` names, or all of them, to `address`."""
        if mask is None:
            self.store(value, address)
            return
        pointer = self.builder.inttoptr(address, value.type.as_pointer())
        name = f"llvm.masked.store.v{value.type.count}i{value.type.element.width}.p0"
        self.call(name, ir.VoidType(), value, pointer, self.constant(1, I32), mask)

    def splat(self, scalar: ir.Value, lanes: int) -> ir.Value:
        """`scalar` in every lane."""
        kind = vector(scalar.type, lanes)
        first = self.builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, self.constant(0, I32))
        return self.shuffle(first, [0] * lanes)

    def shuffle(self, value: ir.Value, lanes: Sequence[int], other: ir.Value | None = None) -> ir.Value:
        """The named lanes of `value`, and of `other` counted on."""
        mask = ir.Constant(vector(I32, len(lanes)), list(lanes))
        return self.builder.shuffle_vector(value, other or ir.Constant(value.type, ir.Undefined), mask)

    def convert(self, value: ir.Value, kind: ir.Type, signed: bool = True) -> ir.Value:
        """Integers to a wider or narrower type, lane by lane; a narrower one keeps the low bits."""
        have, want = value.type.element.width, kind.element.width
        if have == want:
            return value
        if have > want:
            return self.builder.trunc(value, kind)
        return self.builder.sext(value, kind) if signed else self.builder.zext(value, kind)

    def call(self, name: str, result: ir.Type, *operands: Any) -> ir.Value:
        """A call of the LLVM intrinsic `name`."""
        module = self.builder.module
        kinds = [operand.type for operand in operands]
        function = module.globals.get(name) or ir.Function(module, ir.FunctionType(result, kinds), name)
        return self.builder.call(function, operands)

    def smallest(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """The lesser of signed integers, lane by lane."""
        return self.builder.select(self.builder.icmp_signed("<", a, b), a, b)

    def largest(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """The greater of signed integers, lane by lane."""
        return self.builder.select(self.builder.icmp_signed(">", a, b), a, b)

    def loop(
        self, count: ir.Value, state: Sequence[ir.Value], body: Callable[[ir.Value, list[ir.Value]], Sequence[ir.Value]]
    ) -> list[ir.Value]:
        """`body(i, state)` for i = 0 .. count - 1, count at least 1; the state after the last."""
        builder = self.builder
        before = builder.block
        inside = builder.append_basic_block("loop")
        builder.branch(inside)
        builder.position_at_end(inside)
        index = builder.phi(I64)
        index.add_incoming(self.constant(0, I64), before)
        carried = [builder.phi(value.type) for value in state]
        for phi, value in zip(carried, state, strict=True):
            phi.add_incoming(value, before)
        results = body(index, list(carried))
        following = builder.add(index, self.constant(1, I64))
        end = builder.block
        index.add_incoming(following, end)
        for phi, value in zip(carried, results, strict=True):
            phi.add_incoming(value, end)
        done = builder.append_basic_block("done")
        builder.cbranch(builder.icmp_signed("<", following, count), inside, done)
        builder.position_at_end(done)
        return list(results)


def inline(emit: Callable[..., None]) -> Any:
    """What Numba code calls as `f((x, y, ...))`, a tuple of integers, to have `emit(code, x, y, ...)` written there."""

    def typed(_typing: Any, operands: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            kinds = signature.args[0].types
            values = cgutils.unpack_tuple(builder, arguments[0], len(kinds))
            emit(Code(builder), *(context.cast(builder, v, k, types.intp) for v, k in zip(values, kinds, strict=True)))
            return context.get_dummy_value()

        return types.void(operands), generate

    return intrinsic(typed)
