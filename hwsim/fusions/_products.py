"""What fusions of integer products share: the tier that multiplies, a constant operand packed once, and requantization as
kernels take it."""

from collections.abc import Callable
from threading import Lock

import numpy as np

from hwsim.graph import Node
from hwsim.kernels import choose
from hwsim.kernels.tier import Finish, Packed, apart
from hwsim.op import Array
from hwsim.ops._product import operand_grids
from hwsim.ops._rescale import words
from hwsim.ops.conv2d import Conv2d
from hwsim.ops.matmul import MatMul
from hwsim.ops.requantize import Requantize
from hwsim.plan import View
from hwsim.spec import TensorSpec

Sums = Callable[[int, int], Array]
"""int32 sums (G, rows, N) of some rows of a product, or their codes."""

_LOCK = Lock()


class Product:
    """The integer product of `node`, which must be one."""

    def __init__(self, view: View, node: Node) -> None:
        self.node = node
        self.inputs = view.graph.inputs_of(node)
        self.raw, self.left, self.right = operand_grids(node.op, self.inputs)
        gemm = node.op.gemm(self.inputs, view.graph.specs[node.name])
        assert gemm is not None
        self.tier = choose.tier_for(self.left, self.right, gemm.k)
        self.static = node.inputs[1] in view.graph.constants and not isinstance(node.op, MatMul)
        """A matmul repeats its constant for the images of a chunk, however many these are."""
        self._packings = view.packed

    def finished(self, values: tuple[Array, ...], finish: Finish | None, out: Array | None = None) -> Array:
        """The product of `values`, finished on the tile; where it goes, (G1, G2, M, N), if somewhere of its own."""

        def multiply(a: Array, b: Array) -> Array:
            return self.tier.product(a, self.left, self._packed(b), finish, out)

        return self.node.op.product(values[:2], self.inputs, multiply, self.raw)

    def followed(
        self,
        values: tuple[Array, ...],
        work: Callable[[tuple[int, int, int], Sums], Array],
        finish: Finish | None = None,
    ) -> Array:
        """What `work` makes of the sums, or of their codes: it gets their shape (G, M, N) and the function that makes some
        rows of them."""

        def multiply(a: Array, b: Array) -> Array:
            packed, a = self._packed(b), apart(a)
            return work(
                (a.shape[0] * a.shape[1], a.shape[2], packed.columns),
                lambda start, stop: self.tier.product(a[:, :, start:stop], self.left, packed, finish),
            )

        return self.node.op.product(values[:2], self.inputs, multiply, self.raw)

    def _packed(self, b: Array) -> Packed:
        if not self.static:
            return self.tier.pack(b, self.right, self.left)
        found = self._packings.get(self.node.name)
        if found is None:
            with _LOCK:
                if self.node.name not in self._packings:
                    self._packings[self.node.name] = self.tier.pack(b, self.right, self.left)
            found = self._packings[self.node.name]
        return found


def finish_of(node: Node, op: Requantize, sums: TensorSpec, codes: TensorSpec) -> Finish | None:
    """The requantization as kernels take it; None where they cannot."""
    constants, layout = words(op, sums, 1), _layout(node, op, sums)
    if constants is None or layout is None or codes.quant is None:
        return None
    shape, columns = layout
    found = (constants.left, constants.multiplier, constants.offset, constants.right, constants.zero_point)
    arrays = tuple(np.reshape(values, shape) for values in found)
    return Finish.of(columns, arrays, codes.quant.qmin, codes.quant.qmax, constants.even, codes.quant.container)


def _layout(node: Node, op: Requantize, sums: TensorSpec) -> tuple[tuple[int, int], int] | None:
    """How channels lie in a product: (groups, columns) of them, and how many columns a group has; None: otherwise."""
    rank = len(sums.shape)
    if isinstance(node.op, Conv2d):
        columns, axis, parts = sums.shape[1] // node.op.groups, 1, node.op.groups
    else:
        columns, axis, parts = sums.shape[-1], rank - 1, 1
    channels = len(op.multiplier)
    if op.axis is None:
        return (1, 1), columns
    if op.axis == axis:
        return (parts, channels // parts), columns
    if isinstance(node.op, MatMul) and op.axis == rank - 3:
        return (channels, 1), columns
    return None
