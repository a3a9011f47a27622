"""Rules of our own quantizer operators: an activation gets a Quantize node, a constant becomes codes now."""

from dataclasses import replace
from typing import Any

import numpy as np

from hwsim import catalog
from hwsim.ops.quantize import Quantize
from hwsim.spec import BipolarSpec, IntegerSpec, QuantSpec, ShiftSpec, TensorSpec
from qmodels.fake_quantize import table
from qmodels.tracer import Activation, Constant, Rule, Site, Tracer, array_of, hollow


def _fake_quantize(
    t: Tracer,
    site: Site,
    x: Activation | Constant,
    scale: Constant,
    zero_point: Constant,
    qmin: int,
    qmax: int,
    axis: int | None,
    grad_factor: float,
) -> Activation | Constant:
    middle = (qmin + qmax + 1) // 2  # where a learned one starts, should there be no number
    zeros = array_of(zero_point.tensor, middle if zero_point.learned else 0).round().clip(qmin, qmax).astype(np.int64)
    bits = (qmax - qmin).bit_length()
    spec = QuantSpec(bits, qmin < 0, _scales(scale), tuple(zeros.tolist()), axis)
    return _quantized(t, site, x, spec)


def _binarize(t: Tracer, site: Site, x: Activation | Constant, scale: Constant, axis: int | None) -> Any:
    return _quantized(t, site, x, BipolarSpec(_scales(scale), axis))


def _shift_quantize(
    t: Tracer,
    site: Site,
    x: Activation | Constant,
    scale: Constant,
    boundaries: Constant,
    significand: Constant,
    shift: Constant,
    zero: Constant,
    axis: int | None,
    kind: str,
) -> Activation | Constant:
    scales = _scales(scale)
    if scale.tensor.is_meta:  # no numbers: those that a quantizer of this kind starts with
        bits = significand.tensor.numel().bit_length() - 1
        first = catalog.find("qmodels.quantizers", kind).first(bits)
        return _quantized(t, site, x, replace(first, scale=first.scale * len(scales), axis=axis))
    values, _ = table(significand.tensor, shift.tensor, zero.tensor)
    spec = ShiftSpec(
        bits=len(significand.tensor).bit_length() - 1,
        scale=scales,
        significand=tuple(significand.tensor.tolist()),
        shift=tuple(shift.tensor.tolist()),
        boundaries=tuple(boundaries.tensor[: len(values) - 1].tolist()),
        zero=int(zero.tensor),
        axis=axis,
    )
    return _quantized(t, site, x, spec)


def _scales(scale: Constant) -> tuple[float, ...]:
    return tuple(array_of(scale.tensor).tolist())


def _quantized(t: Tracer, site: Site, x: Activation | Constant, spec: IntegerSpec) -> Activation | Constant:
    """An activation gets a Quantize node; a constant becomes codes now, by the same operator."""
    name = site.path.removesuffix("_quantizer")
    spec = spec if spec.axis is None else spec.moved_to(spec.axis % len(site.shape))  # -1 is the last
    if isinstance(x, Activation):
        return t.emit(name, Quantize(spec), t.real(x), quantized=True)
    array = array_of(x.tensor)
    if hollow(array):
        codes = np.broadcast_to(spec.container.type(1), array.shape)
    else:
        float_spec = TensorSpec(array.shape, None, batched=False)
        codes = Quantize(spec).run((array,), (float_spec,), TensorSpec(array.shape, spec, batched=False))
    return Constant(x.tensor, x.name, t.constant(name, codes, spec))


RULES: dict[str, Rule] = {
    "hwsim.fake_quantize": _fake_quantize,
    "hwsim.binarize": _binarize,
    "hwsim.shift_quantize": _shift_quantize,
}
