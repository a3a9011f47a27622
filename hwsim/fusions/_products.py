"""What fusions of integer products share: the tier that multiplies, and a constant operand packed once."""

from collections.abc import Callable
from threading import Lock

from hwsim.graph import Node
from hwsim.kernels import choose
from hwsim.kernels.tier import Finish, Packed, apart
from hwsim.op import Array
from hwsim.ops._product import operand_grids
from hwsim.ops.matmul import MatMul
from hwsim.plan import View

Sums = Callable[[int, int], Array]
"""int32 sums (G, rows, N) of some rows of a product."""

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

    def followed(self, values: tuple[Array, ...], work: Callable[[tuple[int, int, int], Sums], Array]) -> Array:
        """What `work` makes of the sums: it gets their shape (G, M, N) and the function that makes some rows of them."""

        def multiply(a: Array, b: Array) -> Array:
            packed, a = self._packed(b), apart(a)
            return work(
                (a.shape[0] * a.shape[1], a.shape[2], packed.columns),
                lambda start, stop: self.tier.product(a[:, :, start:stop], self.left, packed),
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
