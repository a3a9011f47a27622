"""What tracing carries about: values of the graph to be, constants known now, and the nodes and constants so far.

`aten/` has the rules that use them, one per ATen operator; `tracing.py` walks the captured program.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hwsim.errors import IllegalModel
from hwsim.graph import Node
from hwsim.op import Array, Op
from hwsim.ops.dequantize import Dequantize
from hwsim.spec import IntegerSpec, TensorSpec


@dataclass(frozen=True, slots=True)
class Activation:
    """A value of the graph: floats, or codes where `quantized`. `order`, if not (), is a permutation of its axes that
    put the batch off the front and that waits for a slice to bring it back."""

    name: str
    quantized: bool = False
    order: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Constant:
    """A tensor that does not depend on the input; `codes` is the graph's name of its codes once it was quantized.

    `repeated`: the model repeats it for every image (a class token); the tensor here is of one image. `learned`: it is a
    parameter of the model as it stands.
    """

    tensor: Tensor
    name: str
    codes: str = ""
    repeated: bool = False
    learned: bool = False


@dataclass(frozen=True, slots=True)
class Site:
    """Where a rule is applied: module path, and the result's shape per image; the shapes of all where there are several."""

    path: str
    shape: tuple[int, ...]
    parts: tuple[tuple[int, ...], ...] = ()

    def local(self, kind: str) -> str:
        """A functional operator's name: its module's path and its kind, once where the module is that operator."""
        last = self.path.rsplit(".", 1)[-1]
        return self.path if last == kind else f"{self.path}.{kind}".lstrip(".")


@dataclass(slots=True)
class Tracer:
    """Nodes and constants so far, with the names that they have."""

    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, tuple[Array, TensorSpec]] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    reals: dict[str, str] = field(default_factory=dict)
    folded_macs: int = 0
    """Multiply-accumulates of constants with constants, which are done here once and in no image."""
    neutral: list[str] = field(default_factory=list)
    """Constants that operators want and the model has none of: gains of 1, shifts of 0."""

    def emit(self, name: str, op: Op, *inputs: str, quantized: bool = False) -> Activation:
        """A new node with a name of its own."""
        name = self.fresh(name)
        self.nodes.append(Node(name, op, inputs))
        return Activation(name, quantized)

    def fresh(self, name: str) -> str:
        """`name`, or `name_1`, `name_2`, ... where it is taken."""
        free, count = name, 0
        while free in self.taken:
            count += 1
            free = f"{name}_{count}"
        self.taken.add(free)
        return free

    def constant(self, name: str, array: Array, quant: IntegerSpec | None = None, *, wide: bool = False) -> str:
        """Register a constant; floats are kept in float32 where that loses nothing, and a hollow array stays hollow.

        wide: floats are kept in float64, because nothing else that they meet may be.
        """
        if not hollow(array):
            if quant is None and not wide:
                single = array.astype(np.float32)
                array = single if np.array_equal(single, array) else array
            array = np.array(array, order="C")
        name = self.fresh(name)
        self.constants[name] = (array, TensorSpec(array.shape, quant, batched=False))
        return name

    def real(self, value: Activation | Constant, name: str = "") -> str:
        """The name of `value` as floats: itself, a constant, or behind a Dequantize (one for all its readers)."""
        if isinstance(value, Constant):
            return self.constant(name or value.name, array_of(value.tensor))
        if value.order:
            raise IllegalModel(
                f"{value.name}: the batch must stay the leading axis, got order {value.order}; slice first"
            )
        if not value.quantized:
            return value.name
        if value.name not in self.reals:
            self.reals[value.name] = self.emit(f"{value.name}.dequantize", Dequantize(), value.name).name
        return self.reals[value.name]

    def learned(self, constant: Constant | None, name: str, size: int, neutral: float) -> str:
        """The name of a gain or a shift of `size` elements; where the model has none, of one that changes nothing."""
        if constant is not None:
            return self.real(constant, name)
        self.neutral.append(self.constant(name, np.full(size, neutral)))
        return self.neutral[-1]

    def tensor_of(self, constant: Constant) -> Tensor:
        """The constant's numbers, after the rounding of its quantizer where it has one (S1)."""
        if not constant.codes or constant.tensor.is_meta:
            return constant.tensor
        codes, spec = self.constants[constant.codes]
        assert spec.quant is not None
        return torch.from_numpy(spec.quant.to_real(codes))

    def operand(self, value: Activation | Constant, name: str) -> str:
        """The name of `value` as a product's operand: codes where it is quantized."""
        if isinstance(value, Constant):
            return value.codes or self.real(value, name)
        return value.name if value.quantized and not value.order else self.real(value)

    def after_product(self, product: Activation, quantized: bool) -> Activation:
        """The product's floats: an accumulator is dequantized."""
        if not quantized:
            return product
        return self.emit(f"{product.name}.dequantize", Dequantize(), product.name)


Rule = Callable[..., Any]
"""rule(tracer, site, *args of the operator): what the operator becomes."""


def array_of(tensor: Tensor, fill: float = 1.0) -> Array:
    """The numbers of `tensor` in float64; of one on the meta device, which has none, `fill` everywhere, in no memory."""
    if tensor.is_meta:
        return np.broadcast_to(np.float64(fill), tuple(tensor.shape))
    values: Array = tensor.detach().double().numpy()
    return values


def hollow(array: Array) -> bool:
    """Whether the array is one number that only looks like many."""
    return array.size > 1 and not any(array.strides)


def as_value(value: Any) -> Activation | Constant:
    """An operand as it is, or a Python number as a Constant of one element."""
    if isinstance(value, Activation | Constant):
        return value
    return Constant(torch.tensor([float(value)], dtype=torch.float64), "value")


def pair(values: Sequence[int]) -> tuple[int, int]:
    """(vertical, horizontal) of an ATen argument that names one number for both, or two."""
    return (int(values[0]), int(values[-1]))


def quantized(*values: Activation | Constant) -> bool:
    """Whether every operand is codes, so that the product is an integer one."""
    return all(v.quantized if isinstance(v, Activation) else bool(v.codes) for v in values)
