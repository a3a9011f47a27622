"""Attention scores: a product per head, dequantize, 1 / sqrt(d), relative positions and masks, softmax, quantize; a head at a
time, so that no float scores are kept."""

import numpy as np

from hwsim.fusions._grids import container_of, dequantized, grids_of, need_finite
from hwsim.fusions._products import Product, Sums
from hwsim.graph import Node, is_product
from hwsim.kernels.float_groups import scores_to_codes
from hwsim.kernels.memory import empty
from hwsim.kernels.team import shared
from hwsim.op import Array
from hwsim.ops.add import Add
from hwsim.ops.matmul import MatMul
from hwsim.ops.mul import Mul
from hwsim.ops.reshape import Reshape
from hwsim.ops.softmax import Softmax
from hwsim.plan import Step, View

NONE = np.zeros((1, 0, 0))


def scores_codes(view: View, node: Node) -> Step | None:
    """One step from the product to the codes of the probabilities."""
    specs = view.graph.specs
    real = dequantized(view, node) if isinstance(node.op, MatMul) and is_product(view.graph, node) else None
    shape, quant = specs[node.name].shape, specs[node.name].quant
    if real is None or quant is None or len(shape) != 4 or quant.axis not in (None, 1):
        return None
    nodes, factor, bias, mask = [node, real], None, NONE, NONE
    last = view.only_reader(real.name)
    if last is not None and isinstance(last.op, Mul) and (factor := _scalar(view, last)) is not None:
        nodes.append(last)
        last = view.only_reader(last.name)
    if (
        last is not None
        and isinstance(last.op, Add)
        and (found := _constant(view, last, (1, shape[1], *shape[2:]))) is not None
    ):
        bias = found[0]
        nodes.append(last)
        last = view.only_reader(last.name)
    if last is not None and isinstance(last.op, Reshape):
        windows = _masked(view, last, shape)
        if windows is None:
            return None
        mask, more = windows
        nodes += more
        last = view.only_reader(nodes[-1].name)
    codes = view.only_reader(last.name) if last is not None and isinstance(last.op, Softmax) else None
    grids = grids_of(codes, (None, 1))
    if codes is None or last is None or grids is None:
        return None
    nodes += [last, codes]
    product = Product(view, node)
    scale, (q_scale, q_zero, qmin, qmax) = np.array(quant.scale), grids
    container, heads = container_of(view, codes), shape[1]

    def run(values: tuple[Array, ...]) -> Array:
        def work(sizes: tuple[int, int, int], sums: Sums) -> Array:
            out, acc = empty(sizes, container), sums(0, sizes[1])

            def some(start: int, stop: int) -> None:
                finite = scores_to_codes(
                    acc[start:stop], scale, factor is not None, 1.0 if factor is None else factor, bias, mask, heads,
                    q_scale, q_zero, qmin, qmax, out[start:stop],
                )  # fmt: skip
                need_finite(finite, codes.name)

            shared(sizes[0], heads * len(mask), some)
            return out

        return product.followed(values, work)

    return Step(codes.name, tuple(nodes), node.inputs, run)


def _scalar(view: View, node: Node) -> float | None:
    """The one constant number that `node` takes beside a value."""
    found = [view.graph.constants[name] for name in node.inputs if name in view.graph.constants]
    return float(found[0].reshape(())) if len(found) == 1 and found[0].size == 1 else None


def _constant(view: View, node: Node, shape: tuple[int, ...]) -> Array | None:
    """The constant of `shape` that `node` takes beside a value."""
    found = [view.graph.constants[name] for name in node.inputs if name in view.graph.constants]
    return np.array(found[0], np.float64, order="C") if len(found) == 1 and found[0].shape == shape else None


def _masked(view: View, split: Node, shape: tuple[int, ...]) -> tuple[Array, list[Node]] | None:
    """Swin's masks (W, M, N), one for each window of an image, between two reshapes that take windows apart and back."""
    specs = view.graph.specs
    apart = (1, *shape)
    add = view.only_reader(split.name)
    if specs[split.name].shape != apart or add is None or not isinstance(add.op, Add):
        return None
    found, back = _constant(view, add, (1, shape[0], 1, *shape[2:])), view.only_reader(add.name)
    if found is None or back is None or not isinstance(back.op, Reshape) or specs[back.name].shape != shape:
        return None
    return found[0, :, 0], [split, add, back]
