import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import IllegalModel
from hwsim.kernels import choose
from hwsim.op import Action
from hwsim.ops import _codes
from hwsim.ops.gelu import Gelu
from hwsim.ops.lookup import Lookup
from hwsim.ops.quantize import Quantize
from hwsim.spec import BipolarSpec, QuantSpec, TensorSpec

OUT = QuantSpec(8, False, (0.02,), (9,))


def every_code(grid):
    codes = grid.codebook().astype(grid.container).reshape(1, -1)
    return codes, TensorSpec(codes.shape, grid)


@given(data=st.data(), bits=st.integers(1, 10))
def test_equals_the_float_path_quantized_for_every_code(draw, apply, data, bits):
    """Dequantize, GELU, Quantize in float64, and torch's GELU where no tie is within its last places."""
    codes, x = every_code(draw.grid(data, bits))
    spec = draw.grid(data)
    result, out = apply(Lookup.lower(x, spec), (codes, x))
    assert (result.dtype, out) == (spec.container, TensorSpec(x.shape, spec))
    real = x.quant.to_real(codes)
    quantized, _ = apply(Quantize(spec), apply(Gelu(), (real, TensorSpec(x.shape))))
    assert result.tolist() == quantized.tolist()
    steps = torch.nn.functional.gelu(torch.from_numpy(real)).numpy() / spec.scale[0]
    clear = np.abs(np.abs(steps - np.rint(steps)) - 0.5) > 1e-9
    wanted = np.clip(np.rint(steps) + spec.zero_point[0], spec.qmin, spec.qmax)
    assert (result == wanted)[clear].all()


@pytest.mark.parametrize(("bits", "reach"), [(8, 4), (8, 8), (10, 8), (10, 16)])
def test_distance_is_half_a_step(apply, bits, reach):
    codes, x = every_code(QuantSpec(bits, True, (reach / 2 ** (bits - 1),)))
    spec = QuantSpec(8, False, ((reach + 0.17) / 255,), (round(0.17 * 255 / (reach + 0.17)),))
    op = Lookup.lower(x, spec)
    result, out = apply(op, (codes, x))
    distance = np.abs(spec.to_real(result) - op.reference(x.quant.to_real(codes), (x,), out))
    assert distance.max() <= 0.5 * spec.scale[0] * (1 + 1e-12)


def test_worked_example(apply):
    """docs/semantics.md, S13a."""
    codes, x = every_code(QuantSpec(2, True, (1.0,)))
    op = Lookup.lower(x, QuantSpec(4, True, (0.25,)))
    assert op.table == (0, -1, 0, 3)
    assert apply(op, (codes, x))[0].tolist() == [[0, -1, 0, 3]]


def test_any_shape_and_layout(apply):
    codes, x = every_code(QuantSpec(4, False, (0.5,), (8,)))
    table = apply(Lookup.lower(x, OUT), (codes, x))[0].ravel()
    turned = np.arange(12, dtype=np.uint8).reshape(1, 3, 4).swapaxes(1, 2)
    result, _ = apply(Lookup.lower(x, OUT), (turned, TensorSpec(turned.shape, x.quant)))
    assert result.tolist() == table[turned].tolist()


EIGHT = TensorSpec((1, 3), QuantSpec(8, True, (0.1,)))


@pytest.mark.parametrize(
    ("x", "out", "text"),
    [
        (TensorSpec((1, 3)), OUT, "a table takes codes of an affine grid, got (B, 3) float; quantize its input"),
        (
            TensorSpec((1, 3), BipolarSpec((1.0,))),
            OUT,
            "a table takes codes of an affine grid, got (B, 3) bipolar per_tensor scale=1; quantize its input",
        ),
        (
            TensorSpec((1, 3), QuantSpec(8, True, (0.1,) * 3, (0,) * 3, 1)),
            OUT,
            "a table takes codes of one scale, got (B, 3) s8 per_channel(axis=1, n=3); requantize its input to one scale",
        ),
        (
            TensorSpec((1, 3), QuantSpec(11, True, (0.1,))),
            OUT,
            "a table takes codes of at most 10 bits, got (B, 3) s11 per_tensor scale=0.1; "
            "give gelu_bits 10 or fewer, or choose igelu",
        ),
        (
            EIGHT,
            QuantSpec(8, True, (0.1,) * 3, (0,) * 3, 1),
            "a table gives codes of an affine grid of one scale, got s8 per_channel(axis=1, n=3); requantize behind it",
        ),
    ],
)
def test_illegal(x, out, text):
    with pytest.raises(IllegalModel) as caught:
        Lookup.lower(x, out)
    assert str(caught.value) == text


def test_a_table_of_another_length():
    with pytest.raises(IllegalModel) as caught:
        Lookup((1, 2, 3, 4), OUT).infer((EIGHT,))
    assert str(caught.value) == "256 entries are needed, got 4; make the table again"


def test_an_entry_out_of_range():
    with pytest.raises(ValueError, match=r".") as caught:
        Lookup((1, 256), OUT)
    assert str(caught.value) == "lookup: entries must be in 0..255, got 256 at 1"


def test_cost():
    op = Lookup.lower(EIGHT, QuantSpec(4, False, (0.1,)))
    assert op.count((EIGHT,), op.infer((EIGHT,))) == {Action("lookup", 8, 4): 3}


@pytest.mark.parametrize(("bits", "signed"), [(4, True), (8, False), (8, True), (10, False), (10, True)])
def test_equals_the_table_with_every_tier(apply, monkeypatch, bits, signed):
    """Bytes are permuted only where the tier of this process does; whole results are signed or unsigned bytes."""
    used = []
    for name in ("lookup", "lookup_permuted"):
        kernel = getattr(_codes, name)
        monkeypatch.setattr(_codes, name, lambda *given, kernel=kernel, name=name: used.append(name) or kernel(*given))
    _, x = every_code(QuantSpec(bits, signed, (0.05,)))
    generator = np.random.default_rng(bits)
    codes = generator.integers(x.quant.qmin, x.quant.qmax, (2, 5, 67), endpoint=True).astype(x.quant.container)
    for spec, byte in ((OUT, True), (QuantSpec(8, True, (0.02,)), True), (QuantSpec(9, True, (0.02,)), False)):
        table = generator.integers(spec.qmin, spec.qmax, 1 << bits, endpoint=True)
        for tier in choose.usable():
            monkeypatch.setenv(choose.VARIABLE, tier)
            result, _ = apply(Lookup(tuple(table.tolist()), spec), (codes, TensorSpec(codes.shape, x.quant)))
            assert result.dtype == spec.container
            assert result.tolist() == table[codes.astype(int) - x.quant.qmin].tolist()
            permutes = byte and choose.tier().permutes
            assert used.pop() == ("lookup_permuted" if permutes else "lookup")
            assert not (permutes and tier not in ("amx", "avx512vnni"))
