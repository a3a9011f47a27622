"""What linear, conv2d and matmul share: S3, acc = sum over k of (a - za)(b - zb), its width, its scale, its cost. Codes
of a ShiftSpec stand for the integers of its table (S14), by which hardware multiplies by shifting.

A product with a float operand is a float island: both operands are taken as reals (S1) and multiplied in float64.
"""

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from hwsim.kernels import choose
from hwsim.kernels.tier import Grid
from hwsim.op import Action, Array, Gemm, Op, Specs, bounds, need
from hwsim.ops._codes import from_table
from hwsim.spec import MAX_BITS, IntegerSpec, QuantSpec, ShiftSpec, TensorSpec, along, narrowest, signed_bits


def product_spec(
    a: TensorSpec,
    b: TensorSpec,
    depth: int,
    shape: tuple[int, ...],
    a_axes: Mapping[int, int],
    b_axes: Mapping[int, int],
) -> TensorSpec:
    """Spec of the accumulator of `depth` products per element; `a_axes` maps an operand's axis to that of the output.

    Raises IllegalModel where a scale lies along an axis that is summed over, where both operands have channels of
    their own, and where the worst case of the sum does not fit the accumulator.
    """
    if a.quant is None or b.quant is None:
        return TensorSpec(shape, None, a.batched or b.batched)
    scales: dict[int, np.ndarray] = {}
    for spec, axes in ((a, a_axes), (b, b_axes)):
        assert spec.quant is not None
        axis = spec.quant.axis
        if axis is not None:
            need(
                axis in axes,
                "a scale along the reduction axis cannot be factored out of an integer sum",
                spec,
                "use a per-tensor scale, fold the scales into the preceding LayerNorm and the weights (scale "
                "reparametrization, `hwsim trace --fold-input-scales`), shift by factors that are powers of two, or sum "
                "a few groups of channels apart",
            )
            scales[axes[axis]] = scales.get(axes[axis], np.ones(1)) * np.array(spec.quant.scale)
    need(
        len(scales) < 2,
        "operands with channels along different axes need a scale matrix",
        f"{a} and {b}",
        "quantize one per tensor",
    )
    common = float(np.prod([s.quant.scale[0] for s in (a, b) if s.quant is not None and s.quant.axis is None]))
    corners = [x * y for x in _reach(a) for y in bounds(b)]
    bits = signed_bits(min(0, depth * min(corners)), max(0, depth * max(corners)))
    need(bits <= MAX_BITS, f"accumulator needs {bits} bits", f"{MAX_BITS}", "lower the bits of an operand")
    axis, values = next(iter(scales.items())) if scales else (None, np.ones(1))
    scale = tuple(float(v) for v in values * common)
    return TensorSpec(shape, QuantSpec(bits, True, scale, (0,) * len(scale), axis), a.batched or b.batched)


def _reach(a: TensorSpec) -> tuple[int, ...]:
    """Factors whose products every accumulator must hold: the ends of a's integers, and where a constant is taken off
    the shifted sum at last (S14), those of the shifted integers, and the constant."""
    low, high = bounds(a)
    zero = a.quant.zero if isinstance(a.quant, ShiftSpec) else 0
    return (low, high, low + zero, high + zero, zero) if zero else (low, high)


def centred(values: Array, spec: TensorSpec) -> Array:
    """The integers that codes stand for (q - zero_point, or S14's table), int16 where they fit (up to 15 bits) or int32."""
    assert spec.quant is not None
    low, high = bounds(spec)
    dtype = np.int16 if low >= -(1 << 15) and high < 1 << 15 else np.int32
    if isinstance(spec.quant, ShiftSpec):
        return from_table(values, 0, _integers(spec, np.dtype(dtype)))
    zero = along(spec.quant.zero_point, spec.quant.axis, values.ndim, np.int64)  # 2**15 of u16 wraps, and so back
    result: Array = np.subtract(values, zero, dtype=dtype, casting="unsafe")
    return result


def real(values: Array, spec: TensorSpec) -> Array:
    """Floats as they are, codes as reals (S1)."""
    return values if spec.quant is None else spec.quant.to_real(values)


def operand(values: Array, spec: TensorSpec, raw: bool) -> Array:
    """What a product multiplies: centred integers, or where `raw` codes as they are (of a ShiftSpec always integers)."""
    assert spec.quant is not None
    if raw and isinstance(spec.quant, ShiftSpec):
        return from_table(values, 0, _integers(spec, narrowest(*bounds(spec))))
    return values if raw else centred(values, spec)


@lru_cache(maxsize=1024)
def _integers(spec: TensorSpec, kind: np.dtype[Any]) -> Array:
    """What the codes of a ShiftSpec stand for."""
    assert isinstance(spec.quant, ShiftSpec)
    return spec.quant.values().astype(kind)


@lru_cache(maxsize=4096)
def grid(spec: TensorSpec, groups: int | None = None, columns: int | None = None, parts: int = 1) -> Grid | None:
    """The grid of raw codes whose zero points may differ along the axis of `groups` or of `columns` (in `parts` groups);
    None where they differ along another one. One object for equal arguments, for tiers remember by it how they take it."""
    assert spec.quant is not None
    if isinstance(spec.quant, ShiftSpec):
        return Grid(*bounds(spec), np.zeros((1, 1), np.int64))
    zero = np.array(spec.quant.zero_point, dtype=np.int64)
    shapes = {columns: (parts, -1), groups: (-1, 1)}
    if (zero == zero[0]).all():
        zero = zero[:1, np.newaxis]
    elif spec.quant.axis in shapes:
        zero = zero.reshape(shapes[spec.quant.axis])
    else:
        return None
    return Grid(spec.quant.qmin, spec.quant.qmax, zero)


def integer_product(op: Op, values: tuple[Array, ...], inputs: Specs) -> Array:
    """The exact accumulators of `op`, int32, on this process's tier of kernels."""
    raw, left, right = operand_grids(op, inputs)
    return op.product(values, inputs, lambda a, b: multiply(a, b, left, right), raw)


def operand_grids(op: Op, inputs: Specs) -> tuple[bool, Grid, Grid]:
    """Whether `op` can multiply raw codes, and the grids of what it multiplies."""
    left, right = op.grids(inputs)
    if left is not None and right is not None:
        return True, left, right
    left, right = (Grid(*bounds(spec), np.zeros((1, 1), np.int64)) for spec in inputs)
    return False, left, right


def multiply(a: Array, b: Array, left: Grid, right: Grid) -> Array:
    """(G, M, K) codes of `left` times (G or 1, K, N) of `right`, as int32 (G, M, N); groups may lie along two axes."""
    tier = choose.tier_for(left, right, a.shape[-1])
    return tier.product(a, left, tier.pack(b, right, left))


def product_count(view: Gemm, a: TensorSpec, b: TensorSpec) -> Counter[Action]:
    """MACs by operand width, the run-time sums that zero points (S3) and S14's constants cost, and what each further sum
    of S14's mantissas does; what constant operands need folds into the bias."""
    counted = Counter({Action("mac", view.a_bits, view.b_bits): view.macs})
    if a.quant is None or b.quant is None:
        return counted
    acc_bits = MAX_BITS
    further = sum(spec.quant.banks - 1 for spec in (a, b) if isinstance(spec.quant, ShiftSpec))
    if further:  # one multiplication by the mantissa and one addition per sum and output
        for kind in ("mul", "add"):
            counted[Action(kind, acc_bits, acc_bits)] += further * view.batch * view.m * view.n
    if _off_centre(b.quant):  # row sums of the left operand, then one correction per output
        counted[Action("add", view.a_bits, acc_bits)] += view.batch * view.m * view.k
        counted[Action("add", acc_bits, acc_bits)] += view.batch * view.m * view.n
    if _off_centre(a.quant):  # column sums of the right operand, unless they are known beforehand
        if not view.b_static:
            counted[Action("add", view.b_bits, acc_bits)] += view.batch * view.k * view.n
        counted[Action("add", acc_bits, acc_bits)] += view.batch * view.m * view.n
    return counted


def _off_centre(quant: IntegerSpec) -> bool:
    return bool(quant.zero) if isinstance(quant, ShiftSpec) else any(quant.zero_point)
