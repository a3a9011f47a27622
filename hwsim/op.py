"""What an operator is: attributes, and the answers to five questions, in one file of `hwsim/ops`.

`infer` - which spec comes out (shape, format, bit growth), or why the node is illegal;
`run`   - which values (the reference semantics that docs/semantics.md numbers);
`count` - how much arithmetic, as a Counter of Action;
`gemm`  - its matrix-multiply view, or None for work of the vector unit (with a view comes `product`);
`onnx`, `torch` - its names elsewhere.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy.typing as npt

from hwsim.errors import IllegalModel
from hwsim.kernels.tier import Grid
from hwsim.spec import ShiftSpec, TensorSpec

Array = npt.NDArray[Any]
Specs = tuple[TensorSpec, ...]
Multiply = Callable[[Array, Array], Array]
"""Products: integers (G, M, K) and (G or 1, K, N) give accumulators (G, M, N), or codes that something makes of them."""


@dataclass(frozen=True, slots=True, order=True)
class Action:
    """One primitive step of arithmetic, on operands of `a_bits` and `b_bits` (32 is a float).

    Kinds: `mac`, `add`, `mul`, `div`, `exp`, `erf`, `tanh`, `sqrt`, `max`, `shift`, `lookup` (one table access), `quantize`
    (scale, round, clamp), `requantize` (multiply, shift, clamp), `dequantize` (subtract zero point, scale), `move` (one
    element read and written elsewhere, as a window shift does; both widths are the element's). A view moves nothing.
    """

    kind: str
    a_bits: int
    b_bits: int


@dataclass(frozen=True, slots=True)
class Gemm:
    """`batch` products (m, k) x (k, n) for one image; `b_static` says that the right operand is a constant."""

    batch: int
    m: int
    k: int
    n: int
    a_bits: int
    b_bits: int
    b_static: bool

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        return self.batch * self.m * self.k * self.n


class Op:
    """Base of all operators: frozen dataclasses whose fields are the operator's attributes. Inputs come as tuples."""

    __slots__ = ()

    onnx: ClassVar[str] = ""
    """Name of the ONNX operator that it corresponds to, or "" where it takes several."""
    torch: ClassVar[tuple[str, ...]] = ()
    """Names of the ATen operators that it is traced from."""
    stands_for: ClassVar[str] = ""
    """The float operator (`softmax`, `gelu`, `layernorm`) that it computes in integers by a definition of its own, or ""."""
    source: ClassVar[str] = ""
    """Where that definition is from: paper and equation, or repository."""

    def infer(self, inputs: Specs) -> TensorSpec:
        """The spec of the value it makes; raises IllegalModel where the inputs do not fit."""
        raise TypeError(f"{type(self).__name__} does not infer")

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """The value it makes, for any batch; floats are float64 and codes are in their containers."""
        raise TypeError(f"{type(self).__name__} does not run")

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """The arithmetic it does for one image."""
        raise TypeError(f"{type(self).__name__} does not count")

    def gemm(self, inputs: Specs, out: TensorSpec) -> Gemm | None:
        """Its GEMM view for one image, or None."""
        return None

    def product(self, values: tuple[Array, ...], inputs: Specs, multiply: Multiply, raw: bool = False) -> Array:
        """Its accumulators of integer operands, where `multiply` does the sums: what `run` gives with S3's.

        multiply gets (G, M, K) and (G or 1, K, N), or both with groups along two axes: centred integers, or, where `raw`,
        codes as they are (of a ShiftSpec always the integers). It gives (G, M, N).
        """
        raise TypeError(f"{type(self).__name__} has no product")

    def grids(self, inputs: Specs) -> tuple[Grid | None, Grid | None]:
        """What the raw codes of its `product` mean, left and right operand; None where only centred ones can be taken."""
        raise TypeError(f"{type(self).__name__} has no product")

    def reference(self, x: Array, inputs: Specs, out: TensorSpec) -> Array:
        """The float function that it stands for, of the reals `x`, in float64: what its distance is measured from."""
        raise TypeError(f"{type(self).__name__} stands for no float function")


def need(condition: bool, rule: str, got: object, remedy: str) -> None:
    """Raise IllegalModel `<rule>, got <got>; <remedy>` unless `condition`; the graph puts the node's name before it."""
    if not condition:
        raise IllegalModel(f"{rule}, got {got}; {remedy}")


def need_float(inputs: Specs, what: str) -> None:
    """Raise IllegalModel unless every input is a float: the operator is a float island (mixed form)."""
    for spec in inputs:
        need(spec.quant is None, f"{what} takes floats", spec, "dequantize its input first")


def need_axes(axes: Iterable[int], spec: TensorSpec) -> None:
    """Raise IllegalModel unless every one of `axes` is counted from the front and is an axis of `spec`."""
    for axis in axes:
        need(0 <= axis < len(spec.shape), f"an axis is 0..{len(spec.shape) - 1}", axis, "count axes from the front")


def bounds(spec: TensorSpec) -> tuple[int, int]:
    """Smallest and largest integer that the codes stand for, over all channels: of (q - zero_point) (S1), or value (S14)."""
    assert spec.quant is not None
    if isinstance(spec.quant, ShiftSpec):
        values = spec.quant.values()
        return int(values.min()), int(values.max())
    zeros = spec.quant.zero_point
    return spec.quant.qmin - max(zeros), spec.quant.qmax - min(zeros)
