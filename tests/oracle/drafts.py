"""Graphs in the making, and those in which a LayerNorm or a table of integers is joined with what it stands beside: a graph,
its inputs, and the names of the nodes of every step."""

import numpy as np

from hwsim.graph import Node, build
from hwsim.ops.ilayernorm import ILayerNorm
from hwsim.ops.linear import Linear
from hwsim.ops.lookup import Lookup
from hwsim.ops.ptflayernorm import PtfLayerNorm
from hwsim.ops.requantize import Requantize
from hwsim.ops.transpose import Transpose
from hwsim.spec import QuantSpec, TensorSpec

CODES, UNSIGNED = QuantSpec(4, True, (0.1,), (1,)), QuantSpec(8, False, (0.1,), (7,))
STREAM, WORDS = QuantSpec(16, True, (0.02,)), QuantSpec(10, True, (0.01,))


class Draft:
    """A graph in the making, of inputs `x` and more; nodes have the names that they are given."""

    def __init__(self, shape, grid=CODES, **more):
        self.generator = np.random.default_rng(1)
        self.inputs = {"x": TensorSpec(shape, grid), **more}
        self.specs, self.constants, self.nodes = dict(self.inputs), {}, []

    def __call__(self, name, op, *inputs):
        self.nodes.append(Node(name, op, inputs))
        self.specs[name] = op.infer(tuple(self.specs[i] for i in inputs))
        return name

    def constant(self, name, shape, quant=None):
        array = self.generator.normal(0, 1, shape) if quant is None else self.codes(shape, quant)
        self.specs[name] = TensorSpec(shape, quant, batched=False)
        self.constants[name] = array, self.specs[name]
        return name

    def codes(self, shape, quant):
        return self.generator.integers(quant.qmin, quant.qmax + 1, shape).astype(quant.container)

    def linear(self, x="x", columns=32, name="acc"):
        return self(
            name,
            Linear(),
            x,
            self.constant(f"{name}.w", (columns, self.specs[x].shape[-1]), QuantSpec(4, True, (0.1,))),
        )

    def requantize(self, x="acc", grid=CODES, name="codes", rounding="half_even", axis=None):
        channels = 1 if axis is None else self.specs[x].shape[axis]
        factor = tuple(self.generator.uniform(0.05, 1, channels).tolist())
        op = Requantize.between(self.specs[x], grid, factor=factor, factor_axis=axis, rounding=rounding)
        return self(name, op, x)

    def done(self, *outputs):
        graph = build("draft", self.inputs, self.constants, self.nodes, list(outputs or [self.nodes[-1].name]))
        feeds = {}
        for name, spec in self.inputs.items():
            shape = (5 * spec.shape[0], *spec.shape[1:])
            feeds[name] = self.generator.normal(0, 2, shape) if spec.quant is None else self.codes(shape, spec.quant)
        return graph, feeds


def integer_norm(kind=ILayerNorm):
    draft = Draft((1, 3, 7, 32), STREAM)
    weight, bias = draft.generator.normal(size=(2, 32))
    draft("normed", kind.lower(draft.specs["x"], weight, bias, 1e-5, QuantSpec(16, True, (0.001,))), "x")
    draft.requantize("normed", QuantSpec(4, False, (0.3,), (8,)))
    return draft.done(), ["normed codes"]


def integer_norm_of_powers():
    return integer_norm(PtfLayerNorm)


def linear_table(tokens=7, columns=32, grid=UNSIGNED, between=WORDS, **how):
    draft = Draft((1, tokens, 24))
    draft.linear(columns=columns)
    draft.requantize(grid=between, **how)
    draft("gelu", Lookup.lower(draft.specs["codes"], grid), "codes")
    return draft.done(), ["acc codes gelu"]


def linear_table_in_blocks():
    """More rows than stay in the cache, and a last block that is shorter."""
    return linear_table(67, 4096)


def linear_table_of_bytes():
    return linear_table(columns=37, grid=CODES, between=QuantSpec(4, False, (0.3,), (8,)), axis=2, rounding="half_up")


def linear_table_of_words():
    """Its entries are two bytes wide."""
    return linear_table(grid=QuantSpec(9, False, (0.05,), (40,)))


def linear_table_in_two_roundings():
    return linear_table(rounding="double_round")[0], ["acc", "codes", "gelu"]


def linear_table_of_two_readers():
    draft = Draft((1, 7, 24))
    draft.linear()
    draft.requantize()
    draft("gelu", Lookup.lower(draft.specs["codes"], UNSIGNED), "codes")
    return draft.done("codes", "gelu"), ["acc codes", "gelu"]


def integer_norm_transposed(order=(0, 1, 3, 2), axis=1, columns=32, grid=None):
    """Keys of attention: the heads lie apart in memory, and their codes are transposed before they are requantized."""
    draft = Draft((1, 7, 3, columns), STREAM)
    draft("heads", Transpose((0, 2, 1, 3)), "x")
    weight, bias = draft.generator.normal(size=(2, columns))
    op = ILayerNorm.lower(draft.specs["heads"], weight, bias, 1e-5, QuantSpec(16, True, (0.001,)))
    draft("moved", Transpose(order), draft("normed", op, "heads"))
    draft.requantize("moved", grid or QuantSpec(4, False, (0.3,), (8,)), axis=axis)
    return draft.done(), ["heads", "normed moved codes"]


def integer_norm_of_tokens():
    """Channels that are not those of whole rows; the axis of the grid moves too."""
    grid = QuantSpec(4, False, tuple(0.1 + 0.05 * i for i in range(7)), (8,) * 7, 3)
    return integer_norm_transposed(axis=3, grid=grid)


def integer_norm_of_odd_width():
    """Rows that fill no vectors."""
    return integer_norm_transposed((0, 3, 2, 1), axis=None, columns=9)
