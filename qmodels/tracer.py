"""What tracing carries about: values of the graph to be, constants known now, and the nodes and constants so far.

`aten.py` has the rules that use them, one per ATen operator; `tracing.py` walks the captured program.
"""

from dataclasses import dataclass, field

import numpy as np
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
    """A tensor that does not depend on the input; `codes` is the graph's name of its codes once it was quantized."""

    tensor: Tensor
    name: str
    codes: str = ""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a rule is applied: module path, and the result's shape per image."""

    path: str
    shape: tuple[int, ...]


@dataclass(slots=True)
class Tracer:
    """Nodes and constants so far, with the names that they have."""

    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, tuple[Array, TensorSpec]] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    reals: dict[str, str] = field(default_factory=dict)

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

    def constant(self, name: str, array: Array, quant: IntegerSpec | None = None) -> str:
        """Register a constant; floats are kept in float32 where that loses nothing."""
        if quant is None:
            single = array.astype(np.float32)
            array = single if np.array_equal(single, array) else array
        name = self.fresh(name)
        self.constants[name] = (np.array(array, order="C"), TensorSpec(array.shape, quant, batched=False))
        return name

    def real(self, value: Activation | Constant, name: str = "") -> str:
        """The name of `value` as floats: itself, a constant, or behind a Dequantize (one for all its readers)."""
        if isinstance(value, Constant):
            return self.constant(name or value.name, value.tensor.detach().double().numpy())
        if value.order:
            raise IllegalModel(
                f"{value.name}: the batch must stay the leading axis, got order {value.order}; slice first"
            )
        if not value.quantized:
            return value.name
        if value.name not in self.reals:
            self.reals[value.name] = self.emit(f"{value.name}.dequantize", Dequantize(), value.name).name
        return self.reals[value.name]

    def operand(self, value: Activation | Constant, name: str) -> str:
        """The name of `value` as a product's operand: codes where it is quantized."""
        if isinstance(value, Constant):
            return value.codes or self.real(value, name)
        return value.name if value.quantized else self.real(value)

    def after_product(self, product: Activation, quantized: bool) -> Activation:
        """The product's floats: an accumulator is dequantized."""
        if not quantized:
            return product
        return self.emit(f"{product.name}.dequantize", Dequantize(), product.name)


def quantized(*values: Activation | Constant) -> bool:
    """Whether every operand is codes, so that the product is an integer one."""
    return all(v.quantized if isinstance(v, Activation) else bool(v.codes) for v in values)
