"""Quantize (S2): q = clamp(round_half_even(x / scale) + zero_point, qmin, qmax), from floats to codes; of a ShiftSpec the
code of the interval that holds x / scale (S14)."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from hwsim.kernels.float_codes import quantize, quantize_columns
from hwsim.op import Action, Array, Op, Specs, need, need_float
from hwsim.ops._rowviews import by_grid, real
from hwsim.spec import FLOAT_BITS, BipolarSpec, IntegerSpec, ShiftSpec, TensorSpec, along


@dataclass(frozen=True, slots=True)
class Quantize(Op):
    """Makes codes of the grid `spec`; a BipolarSpec takes the sign, with sign(0) = +1."""

    spec: IntegerSpec

    onnx = "QuantizeLinear"
    torch = ("hwsim.fake_quantize", "hwsim.binarize", "hwsim.shift_quantize")

    def infer(self, inputs: Specs) -> TensorSpec:
        """The input's shape, with the codes' meaning."""
        need_float(inputs, "quantize")
        return TensorSpec(inputs[0].shape, self.spec, inputs[0].batched)

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """Division, rounding and clamping in float64; NaN and infinities are refused."""
        (x,) = values
        if isinstance(self.spec, ShiftSpec):
            return _between(x, self.spec)
        if isinstance(self.spec, BipolarSpec):
            codes = np.where(x >= 0, np.int8(1), np.int8(-1))
            need(bool(np.isfinite(x).all()), "codes are made of finite numbers", "NaN or infinity", "check the input")
            return codes
        reals, columns = by_grid(real(x), self.spec.axis)
        rows, codes = reals.like(self.spec.container)
        finite = (quantize_columns if columns else quantize)(
            reals.rows,
            np.asarray(self.spec.scale, dtype=np.float64),
            np.asarray(self.spec.zero_point, dtype=np.int64),
            self.spec.qmin,
            self.spec.qmax,
            rows,
        )
        need(finite, "codes are made of finite numbers", "NaN or infinity", "check the input")
        return codes

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """One quantize per element."""
        return Counter({Action("quantize", FLOAT_BITS, out.bits): out.elements})


def _between(x: Array, spec: ShiftSpec) -> Array:
    """S14: as many boundaries as are not above x / scale lie below its value."""
    need(bool(np.isfinite(x).all()), "codes are made of finite numbers", "NaN or infinity", "check the input")
    with np.errstate(over="ignore"):
        steps = x / along(spec.scale, spec.axis, x.ndim, np.float64)
    codes = spec.order().astype(spec.container)
    return np.asarray(codes[np.searchsorted(spec.boundaries, steps, side="right")])
