import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import IllegalModel
from hwsim.graph import Node, build
from hwsim.grids.log2 import log2
from hwsim.grids.logsqrt2 import logsqrt2
from hwsim.grids.poweroftwo import poweroftwo
from hwsim.grids.sulq import sulq
from hwsim.grids.twinuniform import twinuniform
from hwsim.op import Action
from hwsim.ops.encode import Encode
from hwsim.ops.quantize import Quantize
from hwsim.simulator import simulate
from hwsim.spec import BipolarSpec, QuantSpec, ShiftSpec, TensorSpec
from hwsim.store import load, save

GRIDS = {
    "log2": log2(4),
    "lis": log2(4, rounding="lis"),
    "nearest": log2(4, rounding="nearest"),
    "log2 without zero": log2(3, zero=False),
    "logsqrt2": logsqrt2(4),
    "sulq": sulq(4, eta=3, step=0.7),
    "twin by magnitude": twinuniform(4, 2.0**-6, m=3),
    "twin by sign": twinuniform(4, 0.17 / 8, m=3, split="sign"),
    "powers of two": poweroftwo(4, 0.9),
    "bipolar": BipolarSpec((0.4,)),
}
INPUTS = {
    "u8": QuantSpec(8, False, (1 / 255,)),
    "u8 of powers": QuantSpec(8, False, (2.0**-8,)),
    "u8 off centre": QuantSpec(8, False, (0.013,), (77,)),
    "s12": QuantSpec(12, True, (1 / 1999,)),
    "u16": QuantSpec(16, False, (2.0**-16,)),
    "s16 off centre": QuantSpec(16, True, (1 / 30000,), (-5000,)),
    "s1": QuantSpec(1, True, (0.3,)),
}


def both(x, grid):
    """What Encode makes of all codes of `x`, and what Quantize makes of their reals; three channels where grid has them."""
    codes = x.codebook().astype(x.container).reshape(1, 1, -1).repeat(3, axis=1)
    spec = TensorSpec(codes.shape, x)
    op, reference = Encode.lower(spec, grid), Quantize(grid)
    floats = TensorSpec(codes.shape)
    encoded = op.run((codes,), (spec,), op.infer((spec,)))
    return encoded, reference.run((x.to_real(codes),), (floats,), reference.infer((floats,)))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("x", INPUTS)
def test_every_code_as_quantize_does_it(x, grid):
    encoded, wanted = both(INPUTS[x], GRIDS[grid])
    assert encoded.dtype == wanted.dtype == GRIDS[grid].container
    np.testing.assert_array_equal(encoded, wanted)


@given(
    data=st.data(),
    bits=st.integers(1, 10),
    scale=st.sampled_from((1e-3, 0.037, 0.5, 11.0, 2.2250738585072014e-308, 1e300)),
)
def test_any_grid_and_scale(draw, data, bits, scale):
    x = dataclasses.replace(draw.grid(data, bits), scale=(scale,))
    encoded, wanted = both(x, draw.shift_grid(data, data.draw(st.sampled_from((None, 1))), 3))
    np.testing.assert_array_equal(encoded, wanted)


@pytest.mark.parametrize("grid", [log2(4), BipolarSpec((1.0,))])
def test_per_head(grid):
    grid = dataclasses.replace(grid, scale=tuple(grid.scale[0] * head for head in (0.1, 0.25, 2.0)), axis=1)
    encoded, wanted = both(QuantSpec(8, False, (1 / 255,)), grid)
    np.testing.assert_array_equal(encoded, wanted)


def test_32_bit_codes_around_every_threshold():
    """All 2**32 codes are too many: those that lie one to either side of a threshold, and the ends."""
    x, grid = QuantSpec(32, True, (2.0**-31,), (-12345,)), logsqrt2(4)
    spec = TensorSpec((1, 47), x)
    op = Encode.lower(spec, grid)
    near = [t + offset + x.zero_point[0] for t in op.thresholds for offset in (-1, 0, 1)]
    codes = np.array([[*near, x.qmin, x.qmax]], np.int32)
    encoded = op.run((codes,), (spec,), op.infer((spec,)))
    reals = x.to_real(codes)
    np.testing.assert_array_equal(encoded, Quantize(grid).run((reals,), (TensorSpec((1, 47)),), None))
    assert (np.diff(encoded[0, :45].reshape(15, 3).astype(int), axis=1) == [-1, 0]).all()


def test_worked_example(apply):
    """S14: 8-bit probabilities in steps of 1/256 to log2 codes of two bits, 1, 1/2, 1/4 and 0."""
    spec = TensorSpec((1, 6), QuantSpec(8, False, (1 / 256,)))
    op = Encode.lower(spec, log2(2))
    assert op.thresholds == (46, 91, 182)
    codes, out = apply(op, (np.array([[0, 45, 46, 90, 181, 182]], np.uint8), spec))
    assert (codes.tolist(), str(out)) == ([[3, 3, 2, 2, 1, 0]], "(B, 6) shift2 per_tensor scale=0.25")


def test_thresholds_at_the_ends():
    """A boundary below all reals is always passed, one above all never."""
    spec = TensorSpec((1, 3), QuantSpec(2, False, (1.0,), (1,)))
    far = ShiftSpec(2, (1.0,), (-90, -80, 0, 90), (0,) * 4, (-85.0, -1.5, 45.0))
    assert Encode.lower(spec, far).thresholds == (-1, -1, 3)


def test_in_a_graph_and_a_file(tmp_path):
    spec = TensorSpec((1, 2, 3), QuantSpec(8, False, (1 / 255,)))
    grid = dataclasses.replace(log2(3), scale=(0.01, 0.002), axis=1)
    graph = build("e", {"x": spec}, {}, [Node("y", Encode.lower(spec, grid), ("x",))], ["y"])
    save(graph, tmp_path / "e")
    again = load(tmp_path / "e")
    assert (again.nodes, dict(again.specs)) == (graph.nodes, dict(graph.specs))
    x = np.random.default_rng(0).integers(0, 256, (5, 2, 3)).astype(np.uint8)
    np.testing.assert_array_equal(simulate(again, {"x": x})["y"], simulate(graph, {"x": x})["y"])


def test_cost():
    spec = TensorSpec((1, 2, 3), QuantSpec(8, False, (1 / 255,)))
    for grid, comparisons in ((log2(3), 7), (BipolarSpec((1.0, 2.0), 1), 1), (twinuniform(3, m=2), 6)):
        op = Encode.lower(spec, grid)
        assert op.count((spec,), op.infer((spec,))) == {Action("max", 8, 8): 6 * comparisons}


U8 = QuantSpec(8, False, (1.0,))


@pytest.mark.parametrize(
    ("x", "op", "text"),
    [
        (None, Encode(log2(1), (3,)), "encode takes codes of a uniform grid with one scale, got (B, 2) float"),
        (log2(1), Encode(log2(1), (3,)), "encode takes codes of a uniform grid with one scale, got (B, 2) shift1 "),
        (
            QuantSpec(8, False, (1.0, 2.0), (0, 0), 1),
            Encode(log2(1), (3,)),
            "encode takes codes of a uniform grid with one scale, got (B, 2) u8 per_channel(axis=1, n=2); "
            "requantize it per tensor first",
        ),
        (
            U8,
            Encode(U8, (3,)),
            "encode makes codes of a grid that is not uniform, got u8 per_tensor scale=1; use requan",
        ),
        (U8, Encode(log2(1), (3, 4)), "1 thresholds are needed, got 2; lower it again"),
        (U8, Encode(BipolarSpec((1.0, 2.0), 1), (0,)), "2 thresholds are needed, got 1; lower it again"),
        (U8, Encode(log2(2), (3, 2, 4)), "thresholds ascend within 0..256, got [3, 2, 4]; lower it again"),
        (U8, Encode(log2(1), (257,)), "thresholds ascend within 0..256, got [257]; lower it again"),
        (U8, Encode(log2(1), (-1,)), "thresholds ascend within 0..256, got [-1]; lower it again"),
    ],
)
def test_illegal(x, op, text):
    with pytest.raises(IllegalModel) as caught:
        op.infer((TensorSpec((1, 2), x),))
    assert str(caught.value).startswith(text)


def test_lower_refuses_what_infer_refuses():
    with pytest.raises(
        IllegalModel, match=r"^encode takes codes of a uniform grid with one scale, got \(B, 2\) float; "
    ):
        Encode.lower(TensorSpec((1, 2)), log2(1))
    with pytest.raises(IllegalModel, match=r"^encode makes codes of a grid that is not uniform, got u8 "):
        Encode.lower(TensorSpec((1, 2), U8), U8)
