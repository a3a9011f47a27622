"""The integer grid of every float value of a mixed graph: that of its domain, channels where this value has them (S17)."""

from hwsim.graph import Node
from hwsim.lower.domains import LAYOUT, Domains, moved_axis
from hwsim.lower.ranges import Ranges
from hwsim.lower.recipe import Recipe
from hwsim.lower.scales import flattened, grid_of, link_grid
from hwsim.ops.conv2d import Conv2d
from hwsim.ops.dequantize import Dequantize
from hwsim.ops.layernorm import LayerNorm
from hwsim.ops.mul import Mul
from hwsim.ops.quantize import Quantize
from hwsim.spec import QuantSpec


class Grids:
    """Grids of values by name, made when first asked for."""

    def __init__(self, domains: Domains, ranges: Ranges, recipe: Recipe) -> None:
        self.domains, self.ranges, self.recipe = domains, ranges, recipe
        self.known: dict[tuple[str, ...], QuantSpec] = {}

    def of(self, name: str) -> QuantSpec:
        """The grid of the domain that the float value is in: with the channels along the axis that they have in this value,
        or, where they are mixed with other axes in it, with the coarsest scale for all."""
        domain = self.domains.of(name)
        if domain.members not in self.known:
            used = [member for member in domain.members if self._is_settled(member)]
            norms = [reader.inputs[0] for reader in domain.readers if self._reads_channels(reader)]
            apart = not set(domain.members) & set(self.domains.graph.inputs)  # an input has no channels of a layer
            per_channel = domain.kind == "stream" and self.recipe.power_of_two_factor and bool(norms) and apart
            seen = [self.ranges[member] for member in (norms if per_channel else used or domain.members)]
            grid = grid_of(domain, seen, self.recipe, per_channel)
            self.known[domain.members] = grid if per_channel else flattened(grid)
        grid = self.known[domain.members]
        axis = None if grid.axis is None else self.channel_axis(name)
        return flattened(grid) if axis is None else grid.moved_to(axis)

    def flat(self, name: str) -> QuantSpec:
        """The grid of the value where that is per tensor; else one for it alone."""
        grid = self.of(name)
        return grid if grid.axis is None else link_grid(self.ranges[name], self.recipe)

    def _is_settled(self, name: str) -> bool:
        """Whether some node reads the value on its domain's grid, instead of as a wide sum."""
        if not self.domains.is_loose(name):
            return True
        readers = self.domains.readers.get(name, [])
        return not readers or any(not (self.domains.adds_constant(r) or isinstance(r.op, Mul)) for r in readers)

    def _reads_channels(self, node: Node) -> bool:
        """Whether `node` takes a scale per channel: a LayerNorm, or a quantizer that has one for each."""
        axis = self.channel_axis(node.inputs[0])
        if isinstance(node.op, Quantize):
            return axis is not None and node.op.spec.axis == axis
        return axis is not None and isinstance(node.op, LayerNorm)

    def channel_axis(self, name: str) -> int | None:
        """The axis along which the value has the channels of the layer that made it; None where it mixes them."""
        node = self.domains.maker.get(name)
        if node is None:
            return None
        if sources := self.domains.joined(node):
            axis = self.channel_axis(sources[0])
            if axis is not None and isinstance(node.op, LAYOUT):
                return moved_axis(node.op, self.domains.graph.specs[sources[0]].shape, axis)
            return axis
        product = self.domains.maker.get(node.inputs[0])
        if isinstance(node.op, Dequantize) and product is not None and isinstance(product.op, Conv2d):
            return 1
        return len(self.domains.graph.specs[name].shape) - 1
