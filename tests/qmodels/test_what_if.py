"""A what-if in words, and as an executor that counts."""

import numpy as np
import pytest

import hwsim
from hwsim.errors import HwsimError, UnknownName
from hwsim.graph import Node, build
from hwsim.ops.dequantize import Dequantize
from hwsim.ops.linear import Linear
from hwsim.ops.quantize import Quantize
from hwsim.spec import QuantSpec, TensorSpec
from hwsim.study.accumulators import Accumulator
from hwsim.study.faults import Flips
from qmodels.what_if import Arithmetic, WhatIf

FLIPS = ("acc:0:0.25",)


@pytest.fixture(scope="module")
def layer():
    """One W4A4 layer of 9 inputs and 5 outputs."""
    weight = np.random.default_rng(1).integers(-8, 8, (5, 9)).astype(np.int8)
    nodes = [
        Node("codes", Quantize(QuantSpec(4, False, (0.25,))), ("x",)),
        Node("acc", Linear(), ("codes", "weight")),
        Node("y", Dequantize(), ("acc",)),
    ]
    constants = {"weight": (weight, TensorSpec((5, 9), QuantSpec(4, True, (0.5,)), batched=False))}
    return build("layer", {"x": TensorSpec((1, 9))}, constants, nodes, ["y"])


@pytest.fixture(scope="module")
def feeds():
    return {"x": np.random.default_rng(2).uniform(0, 4, (11, 9))}


def test_in_words():
    assert str(WhatIf(20, "wrap", 64, ("a:1:1e-3", "b.*:msb:0.5"), 7)) == (
        "20-bit accumulators in tiles of 64, wrap; flips a:1:1e-3 b.*:msb:0.5, seed 7"
    )
    assert str(WhatIf(16, "saturate")) == "16-bit accumulators, saturate"
    assert str(WhatIf(flips=FLIPS)) == "flips acc:0:0.25, seed 0"


def test_nothing_else_is_no_what_if():
    assert not WhatIf()
    assert not WhatIf(overflow="saturate", tile_k=3, seed=5)
    assert WhatIf(acc_bits=32)
    assert WhatIf(flips=FLIPS)


@pytest.mark.parametrize(
    "what_if", [WhatIf(7), WhatIf(7, "saturate", 2), WhatIf(flips=FLIPS, seed=3), WhatIf(7, flips=FLIPS)], ids=str
)
def test_it_is_the_studies_own_executor(layer, feeds, what_if):
    execute = Accumulator(7, what_if.overflow, what_if.tile_k) if what_if.acc_bits else None
    accumulator = execute
    if what_if.flips:
        execute = Flips.parse(layer, FLIPS, what_if.seed, **({"execute": execute} if execute else {}))
    wanted = hwsim.simulate(layer, feeds, ["acc"], execute=execute)["acc"]
    arithmetic = Arithmetic(layer, what_if)
    assert np.array_equal(hwsim.simulate(layer, feeds, ["acc"], execute=arithmetic)["acc"], wanted)
    assert dict(arithmetic.overflows) == (dict(accumulator.overflows) if accumulator else {})
    assert set(arithmetic.flips) == ({"acc"} if what_if.flips else set())
    assert all(count > 0 for count in arithmetic.flips.values())
    assert not np.array_equal(hwsim.simulate(layer, feeds, ["acc"])["acc"], wanted)


def test_what_does_not_fit_the_graph_is_told_before_it_runs(layer):
    with pytest.raises(HwsimError, match=r"^acc: a bit of it is 0\.\."):
        Arithmetic(layer, WhatIf(flips=("acc:31:0.5",)))
    with pytest.raises(UnknownName, match="overflow: unknown name, got 'clip'; known, nearest first: "):
        Arithmetic(layer, WhatIf(8, "clip"))
