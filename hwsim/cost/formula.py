"""Formulas that users write: one expression of a few numbers and functions, read with `ast` and checked before anything runs.

Allowed are numbers, the symbols that the caller names, + - * / // % **, comparisons, and / or / not, `x if test else y`, and
calls of log2, floor, ceil, min, max, abs. Everything else of Python (attributes, indices, other calls, strings) is refused
with its place in the text. Integers stay exact but for `**`, which is a float.
"""

import ast
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hwsim import catalog
from hwsim.errors import HwsimError

MAX_CHARACTERS = 500  # so nothing nests deeper than Python can follow

Values = Mapping[str, float]
Value = Callable[[Values], float]

FUNCTIONS: Mapping[str, tuple[Callable[..., float], int, int]] = {
    "log2": (math.log2, 1, 1),
    "floor": (math.floor, 1, 1),
    "ceil": (math.ceil, 1, 1),
    "abs": (abs, 1, 1),
    "min": (min, 2, 9),
    "max": (max, 2, 9),
}
"""Each function with the least and the most arguments that it takes."""

_BINARY: Mapping[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: math.pow,
}
_UNARY: Mapping[type[ast.AST], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}
_COMPARED: Mapping[type[ast.AST], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


@dataclass(frozen=True, slots=True)
class Formula:
    """A checked expression, called with the values of its symbols; ArithmeticError or ValueError where they have none."""

    text: str
    value: Value = field(repr=False, compare=False)

    def __call__(self, values: Values) -> float:  # noqa: D102 - the class says it
        return self.value(values)

    def __str__(self) -> str:
        return self.text


def parse(text: str, symbols: Iterable[str]) -> Formula:
    """The expression that `text` writes, of these symbols; raises HwsimError with the place of the first thing amiss."""
    text = " ".join(text.split())
    if len(text) > MAX_CHARACTERS:
        raise HwsimError(f"formula: must have at most {MAX_CHARACTERS} characters, got {len(text)}; shorten it")
    try:
        tree = ast.parse(text, mode="eval")
        return Formula(text, _Reader(text, tuple(symbols)).value(tree.body))
    except (SyntaxError, ValueError) as error:
        column = getattr(error, "offset", 1) or len(text) + 1  # no offset is the end
        reason = getattr(error, "msg", None) or str(error)
        raise HwsimError(
            f"formula: must be an expression, got {text!r}: {reason}, at {column}; mend it there"
        ) from None
    except (RecursionError, MemoryError):
        raise HwsimError(f"formula: must not nest so deeply, got {text[:40]!r}...; simplify it") from None


@dataclass(frozen=True, slots=True)
class _Reader:
    """Makes functions of the parts of one text."""

    text: str
    symbols: tuple[str, ...]

    def value(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                return lambda values: number
            case ast.Name(id=name):
                if name not in self.symbols:
                    raise self._unknown("symbol", name, node, self.symbols)
                return operator.itemgetter(name)
            case ast.BinOp(left, op, right) if type(op) in _BINARY:
                return _of_two(_BINARY[type(op)], self.value(left), self.value(right))
            case ast.UnaryOp(op, operand) if type(op) in _UNARY:
                return _of_one(_UNARY[type(op)], self.value(operand))
            case ast.Compare(left, [op], [right]) if type(op) in _COMPARED:
                return _of_two(_COMPARED[type(op)], self.value(left), self.value(right))
            case ast.BoolOp(op, operands):
                return _of_all(any if isinstance(op, ast.Or) else all, [self.value(operand) for operand in operands])
            case ast.IfExp(test, then, other):
                return _chosen(self.value(test), self.value(then), self.value(other))
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                return self._call(node, name, arguments)
        raise HwsimError(
            f"formula: takes numbers, symbols, operators and calls, got {self._part(node)!r} {self._at(node)}; leave it out"
        )

    def _call(self, node: ast.expr, name: str, arguments: list[ast.expr]) -> Value:
        if name not in FUNCTIONS:
            raise self._unknown("function", name, node, FUNCTIONS)
        function, least, most = FUNCTIONS[name]
        if not least <= len(arguments) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise HwsimError(
                f"formula: {name} takes {wanted} arguments, got {len(arguments)} {self._at(node)}; mend the call"
            )
        return _applied(function, [self.value(argument) for argument in arguments])

    def _unknown(self, kind: str, name: str, node: ast.expr, known: Iterable[str]) -> HwsimError:
        listed = ", ".join(catalog.nearest(name, known)) or "none, write numbers"
        return HwsimError(f"formula: unknown {kind}, got {name!r} {self._at(node)}; known, nearest first: {listed}")

    def _at(self, node: ast.expr) -> str:
        return f"at {node.col_offset + 1} of {self.text!r}"

    def _part(self, node: ast.expr) -> str:
        return ast.get_source_segment(self.text, node) or ast.unparse(node)


def _of_one(function: Callable[[Any], Any], operand: Value) -> Value:
    return lambda values: function(operand(values))


def _of_two(function: Callable[[Any, Any], Any], left: Value, right: Value) -> Value:
    return lambda values: function(left(values), right(values))


def _of_all(function: Callable[[Iterable[float]], bool], operands: list[Value]) -> Value:
    return lambda values: function(operand(values) for operand in operands)


def _applied(function: Callable[..., float], arguments: list[Value]) -> Value:
    return lambda values: function(*(argument(values) for argument in arguments))


def _chosen(test: Value, then: Value, other: Value) -> Value:
    return lambda values: then(values) if test(values) else other(values)
