"""The first place where codes part, with all that is needed to compute it again by hand.

A divergence is of the first node, in the order of the graph, whose codes differ when every quantizer before it is fed
the reference's codes, and of the first image on which they do. `save` writes one .npz file of plain arrays:

    node, image, element      which node, which image, and the index of the first element that differs
    got, expected             the simulator's codes of that image, and the reference's
    reference_input           the reals that the reference quantized
    operand.NAME              the values that the node read
    upstream.NAME             the values between it and the quantizers before it, whose codes are the reference's
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from hwsim.graph import Graph
from hwsim.op import Array
from hwsim.simulator import as_codes, simulate
from hwsim.spec import TensorSpec
from hwsim.tensors import write_arrays
from qmodels.reference import Reference
from qmodels.tracing import INPUT


@dataclass(frozen=True, slots=True, eq=False)
class Divergence:
    """Node, image (counted from 0) and element of the first difference; `arrays` by the names in the .npz file."""

    node: str
    image: int
    element: tuple[int, ...]
    got: int
    expected: int
    arrays: Mapping[str, Array]

    def __str__(self) -> str:
        at = f"image {self.image}, element {self.element}"
        return f"{self.node}: first code that differs is at {at}: got {self.got}, expected {self.expected}"

    def place(self) -> dict[str, object]:
        """Where it is and what was seen there, for JSON."""
        at = {"node": self.node, "image": self.image, "element": list(self.element)}
        return {**at, "got": self.got, "expected": self.expected}

    def save(self, path: Path) -> None:
        """Write the .npz file, whole or not at all."""
        where = {"node": np.array(self.node), "image": np.array(self.image), "element": np.array(self.element)}
        write_arrays({**where, **self.arrays}, path)


def capture(
    graph: Graph, reference: Reference, codes: Mapping[str, Array], images: Tensor, node: str, position: int
) -> Divergence:
    """The divergence of `node`, at the flat `position` of its codes in a batch of `images` (B, C, H, W).

    codes: the reference's, of that batch, for each quantizer whose codes are compared; those of the nodes before `node`
    are the graph's own too, so that the image is simulated once more, alone, to see what is between.
    """
    spec = graph.specs[node]
    image = position // spec.elements
    element = tuple(int(i) for i in np.unravel_index(position % spec.elements, spec.shape))
    region, operands = upstream(graph, node, codes), graph.node(node).inputs
    feeds = as_codes(graph, {INPUT: images[image : image + 1].numpy()})
    values = simulate(graph, feeds, (node, *region))
    got, expected = values[node], one_image(codes[node], spec, image)
    arrays = {
        "got": got,
        "expected": expected,
        "reference_input": one_image(reference.inputs_of(node, images), spec, image),
        **{f"operand.{name}": values[name] for name in operands},
        **{f"upstream.{name}": values[name] for name in region if name not in operands},
    }
    return Divergence(node, image, element, int(got[element]), int(expected[element]), arrays)


def upstream(graph: Graph, node: str, known: Collection[str]) -> tuple[str, ...]:
    """The values that `node` is computed from, back to those in `known`, constants and inputs; in their order."""
    makers = {made.name: made for made in graph.nodes}
    found: set[str] = set()
    waiting = list(makers[node].inputs)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += makers[name].inputs if name in makers and name not in known else ()
    return tuple(name for name in graph.specs if name in found)


def one_image(value: Array, spec: TensorSpec, image: int) -> Array:
    """The rows of the leading axis that belong to one image of a batch."""
    return value[image * spec.shape[0] : (image + 1) * spec.shape[0]]
