"""Contract of the catalogue hwsim.grids (S14), on examples that this file must hold."""

import dataclasses
import importlib
import inspect
import typing

import numpy as np
import pytest

from hwsim import catalog
from hwsim.errors import IllegalModel
from hwsim.op import bounds
from hwsim.ops.concat import Concat
from hwsim.ops.requantize import Requantize
from hwsim.ops.reshape import Reshape
from hwsim.ops.roll import Roll
from hwsim.ops.slice import Slice
from hwsim.ops.transpose import Transpose
from hwsim.spec import QuantSpec, ShiftSpec, TensorSpec

NAMES = catalog.names("hwsim.grids")
EXAMPLES = {  # name: bits and options
    "log2": [
        *((bits, {"zero": zero}) for bits in (1, 2, 3, 4) for zero in (True, False)),
        (5, {}),
        (3, {"scale": 0.3}),
        (4, {"rounding": "lis"}),
        (4, {"rounding": "nearest"}),
        *((bits, {"octaves": 15, "zero": zero}) for bits in (3, 4, 5, 6, 8) for zero in (True, False)),
    ],
    "logsqrt2": [
        *((bits, {"zero": zero}) for bits in (1, 2, 3, 4, 5) for zero in (True, False)),
        (4, {"mantissa_bits": 1, "scale": 0.7}),
        (5, {"mantissa_bits": 15}),
        *((bits, {"octaves": 10, "zero": zero}) for bits in (3, 5, 6, 8) for zero in (True, False)),
    ],
    "poweroftwo": [(bits, {"rounding": rule}) for bits in (2, 3, 4, 6) for rule in ("log", "lis", "nearest")],
    "sulq": [
        *((bits, {"eta": eta}) for bits in (1, 2, 3, 4) for eta in (0, 1, 3)),
        (4, {"step": 2.0, "scale": 1.1}),
        (4, {"step": 0.664}),
        (8, {"step": 0.1, "eta": 5000}),
        (3, {"step": 1.5, "zero_point": 2, "eta": 7}),
    ],
    "twinuniform": [
        (bits, {"m": m, "split": s}) for bits in (2, 3, 4, 8) for m in (0, 1, 3, 7) for s in ("magnitude", "sign")
    ],
}
ALL = [(name, bits, options) for name, examples in EXAMPLES.items() for bits, options in examples]


def make(name, bits, options):
    return catalog.find("hwsim.grids", name)(bits, **options)


def sweep(grid):
    """A dense sweep of reals, beyond both ends, with every boundary and its neighbours."""
    edges = np.array(grid.boundaries)
    low, high = bounds(TensorSpec((1,), grid))
    ends = np.array([low - 1.0, high + 1.0, 0.0, 1e-300, -1e300, 1e300])
    steps = [
        np.linspace(low - 3, high + 3, 20011),
        edges,
        np.nextafter(edges, -np.inf),
        np.nextafter(edges, np.inf),
        ends,
    ]
    return np.sort(np.concatenate(steps)) * grid.scale[0]


def test_every_grid_has_an_example():
    assert set(NAMES) == set(EXAMPLES)


@pytest.mark.parametrize("name", NAMES)
def test_house_rules(name):
    make_grid, module = catalog.find("hwsim.grids", name), importlib.import_module(f"hwsim.grids.{name}")
    own = [
        value
        for key, value in vars(module).items()
        if inspect.isroutine(value) and value.__module__ == module.__name__ and not key.startswith("_")
    ]
    assert own == [make_grid], "one public function per file"
    assert make_grid.__name__ == name
    assert "Source: " in module.__doc__
    assert "(S14)" in module.__doc__
    hints = typing.get_type_hints(make_grid)
    assert hints.pop("return") is ShiftSpec
    assert set(hints.values()) <= {int, float, bool, str}, "plain parameters"
    assert next(iter(hints)) == "bits"


@pytest.mark.parametrize(("name", "bits", "options"), ALL)
def test_never_more_codes_than_bits_can_hold(quantize, name, bits, options):
    grid = make(name, bits, options)
    codes = quantize(grid, sweep(grid))
    assert (grid.bits, codes.dtype) == (bits, np.uint8)
    assert set(codes.tolist()) == set(grid.order().tolist())
    assert 2 <= len(grid.order()) <= 2**bits
    assert codes.max() < 2**bits


@pytest.mark.parametrize(("name", "bits", "options"), ALL)
def test_the_code_is_that_of_the_interval(quantize, name, bits, options):
    """Against a count of boundaries in a loop; ascending reals have ascending values."""
    grid = make(name, bits, options)
    x = sweep(grid)
    codes, values = quantize(grid, x), grid.values().tolist()
    ascending = sorted(set(values))
    for real, code in zip(x[::97].tolist(), codes[::97].tolist(), strict=True):
        index = sum(boundary <= real / grid.scale[0] for boundary in grid.boundaries)
        assert code == values.index(ascending[index])
    assert (np.diff(grid.values()[codes]) >= 0).all()


@pytest.mark.parametrize(("name", "bits", "options"), ALL)
def test_a_value_of_the_grid_is_kept(quantize, name, bits, options):
    grid = make(name, bits, options)
    reals = grid.to_real(grid.codebook())
    np.testing.assert_array_equal(grid.to_real(quantize(grid, reals)), reals)


@pytest.mark.parametrize("axis", [None, 1])
def test_layout_operators_keep_the_codes(axis):
    scale = (0.1,) if axis is None else (0.1, 0.2)
    grid = dataclasses.replace(make("sulq", 3, {"eta": 2}), scale=scale, axis=axis)
    spec = TensorSpec((1, 2, 4, 6), grid)
    codes = np.random.default_rng(0).integers(0, 8, (3, 2, 4, 6)).astype(np.uint8)
    moves = [Transpose((0, 3, 1, 2)), Reshape((1, 2, 24)), Roll((1,), (2,)), Concat(3)]
    moves += [Slice(2, 1, 3)] if axis is None else []
    for op in moves:
        operands = (codes, codes) if isinstance(op, Concat) else (codes,)
        out = op.infer((spec,) * len(operands))
        moved = op.run(operands, (spec,) * len(operands), out)
        assert out.quant == grid.moved_to(2 if axis and isinstance(op, Transpose) else axis)
        reals = op.run(tuple(grid.to_real(operand) for operand in operands), (spec,) * len(operands), out)
        np.testing.assert_array_equal(out.quant.to_real(moved), reals)


def test_requantize_refuses():
    op = Requantize(QuantSpec(8, True, (1.0,)), (1,), (1,))
    with pytest.raises(
        IllegalModel, match=r"^requantize takes codes of an affine grid, got \(B, 2\) shift3 per_tensor "
    ):
        op.infer((TensorSpec((1, 2), make("log2", 3, {})),))


@pytest.mark.parametrize(
    ("name", "bits", "options", "text"),
    [
        ("log2", 6, {}, "log2: bits must be 1..5, got 6"),
        ("log2", 5, {"zero": False}, "log2: bits must be 1..4, got 5"),
        ("log2", 3, {"rounding": "up"}, "rounding: it must be one of log, lis, nearest, got 'up'; choose one"),
        ("log2", 3, {"scale": 0.0}, "ShiftSpec: scale must be positive, normal and finite, got 0.0 at 0; calibrate"),
        ("log2", 9, {"octaves": 15}, "log2: bits must be 1..8, got 9"),
        ("log2", 6, {"octaves": 31}, "log2: octaves must be 1..30, or 0 for as many as there are codes, got 31"),
        (
            "logsqrt2",
            6,
            {"octaves": -1},
            "logsqrt2: octaves must be 1..30, or 0 for as many as there are codes, got -1",
        ),
        ("logsqrt2", 6, {}, "logsqrt2: bits must be 1..5, got 6"),
        ("logsqrt2", 4, {"mantissa_bits": 0}, "logsqrt2: mantissa_bits must be 1..15, got 0"),
        ("poweroftwo", 1, {}, "poweroftwo: bits must be 2..6, got 1"),
        ("sulq", 9, {}, "sulq: bits must be 1..8, got 9"),
        ("sulq", 4, {"eta": -1}, "sulq: step must be positive and eta 0 or more, got 1.0 and -1"),
        ("sulq", 4, {"step": float("nan")}, "sulq: step must be positive and eta 0 or more, got nan and 1"),
        ("sulq", 5, {}, "sulq: exponents must span 30 or less, got 31; lower the bits or the step"),
        ("sulq", 2, {"step": 0.1}, "ShiftSpec: two distinct values are needed, got 0 for all codes"),
        ("twinuniform", 1, {"m": 1}, "twinuniform: bits must be 2..8, got 1"),
        (
            "twinuniform",
            4,
            {"m": -1},
            "twinuniform: split is one of magnitude, sign and m 0 or more, got 'magnitude' and -1",
        ),
        (
            "twinuniform",
            4,
            {"m": 2, "split": "none"},
            "twinuniform: split is one of magnitude, sign and m 0 or more, got 'none' and 2",
        ),
    ],
)
def test_illegal_parameters(name, bits, options, text):
    with pytest.raises(ValueError, match=r".") as caught:
        make(name, bits, options)
    assert str(caught.value) == text
