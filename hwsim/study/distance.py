"""How far is each integer nonlinearity (S11 to S13) from its float function, over the whole range of its input?

The study walks `hwsim.ops` for operators that stand for a function, lowers each for codes of several widths, and compares

    distance = |real(run(codes)) - reference(real(codes))|

so quantizing the input is no part of it, while rounding to the operator's own output is: codes of the width that its
`lower` makes unless told otherwise, here over the range of the function. A width that an operator refuses is left out.

What is fed, x being what a curve is drawn against:

- GELU: every code of [-8, 8), once in a row with the largest code and once with the smallest, since an operator may look
  at the whole row; x is the real that the code means.
- softmax: two scores, apart by every difference x that codes have, up to 12; the larger error of the two probabilities.
  Beside it rows of 197 random scores, from all but equal to a spread of 4. The step is the one that recipes fit (S17).
- LayerNorm (weight 1, bias 0, epsilon 1e-6): random rows of 384 channels of a residual in [-16, 16], about any mean that
  leaves room, of a standard deviation from half a code to what the codes hold; x is that, in codes. The unit is the
  normalised value's, one standard deviation.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwsim import catalog
from hwsim.errors import IllegalModel
from hwsim.op import Array, Op
from hwsim.simulator import Progress
from hwsim.spec import QuantSpec, TensorSpec

GELU_RANGE, DEPTH, ROW = 8.0, 12.0, 197
"""Largest |x| of GELU; largest difference of scores, and how many of them a row has."""

RESIDUAL_RANGE, CHANNELS, EPSILON, NORM_RANGE = 16.0, 384, 1e-6, 20.0
"""Largest |x| of LayerNorm, its channels and epsilon; no normalised value is above sqrt(CHANNELS) = 19.6."""

OUT_BITS = 16
WIDTHS: Mapping[str, tuple[int, ...]] = {"gelu": (8, 10, 12, 16), "softmax": (8, 10, 12), "layernorm": (8, 12, 16)}
"""Widths of the input codes, by family."""

POINTS, ROWS, SIGMAS, SEED = 96, 2000, 64, 0


@dataclass(frozen=True, slots=True)
class Distance:
    """The distance of one operator for codes of `bits` bits, a step of which is `scale`: the largest, the root of the mean
    square, and as `curve` the largest near each x, ascending (none where inputs have no x). `inputs` says what was fed."""

    operator: str
    family: str
    inputs: str
    bits: int
    scale: float
    largest: float
    rms: float
    curve: tuple[tuple[float, float], ...] = ()


def operators() -> dict[str, Any]:
    """The operators that stand for a float function and have a measure here, by name."""
    found = {name: catalog.find("hwsim.ops", name) for name in catalog.names("hwsim.ops")}
    return {name: op for name, op in found.items() if op.stands_for in _MEASURES}


def distances(widths: Mapping[str, tuple[int, ...]] = WIDTHS, progress: Progress | None = None) -> tuple[Distance, ...]:
    """Every operator at every width of its family that it takes."""
    asked = [(name, op, bits) for name, op in operators().items() for bits in widths[op.stands_for]]
    found: list[Distance] = []
    for done, (name, op, bits) in enumerate(asked):
        if progress:
            progress(done, len(asked))
        found += distance(name, op, bits)
    return tuple(found)


def distance(name: str, operator: Any, bits: int) -> tuple[Distance, ...]:
    """The distances of one operator for codes of `bits` bits; none where it does not take such codes."""
    family = operator.stands_for
    try:
        return tuple(
            Distance(name, family, inputs, bits, scale, float(errors.max()), _rms(errors), _curve(x, errors))
            for inputs, scale, x, errors in _MEASURES[family](operator, bits)
        )
    except IllegalModel:
        return ()


Measured = tuple[str, float, Array, Array]
"""What was fed, the scale of its codes, x (P,) or none, and the errors (P, ...)."""


def _gelu(operator: Any, bits: int) -> Iterator[Measured]:
    grid = QuantSpec(bits, True, (GELU_RANGE / (1 << (bits - 1)),))
    spec = TensorSpec((1, 2), grid)
    codes = grid.codebook()
    rows = np.stack([np.stack([codes, np.full_like(codes, end)], axis=1) for end in (grid.qmin, grid.qmax)])
    op = operator.lower(spec, QuantSpec(OUT_BITS, True, (GELU_RANGE / (1 << (OUT_BITS - 1)),)))
    errors = _errors(op, rows.reshape(-1, 2), spec)[:, 0].reshape(2, -1)
    yield "every code", grid.scale[0], grid.to_real(codes), errors.T


def _softmax(operator: Any, bits: int) -> Iterator[Measured]:
    grid = QuantSpec(bits, False, (operator.fitted_scale(DEPTH / ((1 << bits) - 1)),))
    spec = TensorSpec((1, 2), grid)
    codes = grid.codebook()
    op = operator.lower(spec)
    pairs = np.stack([np.full_like(codes, grid.qmax), grid.qmax - codes], axis=1)
    kept = codes * grid.scale[0] <= DEPTH
    yield "two scores", grid.scale[0], grid.to_real(codes)[kept], _errors(op, pairs, spec)[kept]
    generator = np.random.default_rng(SEED)
    spread = np.geomspace(0.01, 4.0, ROWS)[:, None]
    scores = generator.normal(0.0, spread, (ROWS, ROW))
    depth = np.rint((scores.max(axis=1, keepdims=True) - scores) / grid.scale[0])
    rows = grid.qmax - np.minimum(depth, grid.qmax).astype(np.int64)
    spec = TensorSpec((1, ROW), grid)
    yield f"rows of {ROW}", grid.scale[0], np.empty(0), _errors(operator.lower(spec), rows, spec)


def _layernorm(operator: Any, bits: int) -> Iterator[Measured]:
    top = (1 << (bits - 1)) - 1
    grid = QuantSpec(bits, True, (RESIDUAL_RANGE / top,))
    spec = TensorSpec((1, CHANNELS), grid)
    out = QuantSpec(OUT_BITS, True, (NORM_RANGE / (1 << (OUT_BITS - 1)),))
    op = operator.lower(spec, np.ones(CHANNELS), np.zeros(CHANNELS), EPSILON, out)
    generator = np.random.default_rng(SEED)
    per = ROWS // SIGMAS
    sigma = np.geomspace(0.5, top, SIGMAS)[:, None, None]
    mean = generator.uniform(-1.0, 1.0, (SIGMAS, per, 1)) * np.maximum(top - 3 * sigma, 0.0)
    rows = np.rint(generator.normal(mean, sigma, (SIGMAS, per, CHANNELS))).clip(grid.qmin, grid.qmax).astype(np.int64)
    errors = _errors(op, rows.reshape(-1, CHANNELS), spec)
    yield f"rows of {CHANNELS}", grid.scale[0], rows.std(axis=2).mean(axis=1), errors.reshape(SIGMAS, -1)


_MEASURES: dict[str, Callable[[Any, int], Iterator[Measured]]] = {
    "gelu": _gelu,
    "softmax": _softmax,
    "layernorm": _layernorm,
}


def _errors(op: Op, codes: Array, spec: TensorSpec) -> Array:
    """Of each of the codes (rows, ...), how far the operator's result is from the float function of what the code means."""
    assert spec.quant is not None
    out = op.infer((spec,))
    assert out.quant is not None
    codes = codes.astype(spec.quant.container)
    made = out.quant.to_real(op.run((codes,), (spec,), out))
    result: Array = np.abs(made - op.reference(spec.quant.to_real(codes), (spec,), out))
    return result


def _rms(errors: Array) -> float:
    return float(np.sqrt(np.mean(errors**2)))


def _curve(x: Array, errors: Array) -> tuple[tuple[float, float], ...]:
    """At most POINTS points: neighbouring x are put together, and the largest of their errors stands for them."""
    if not x.size:
        return ()
    order = np.argsort(x, kind="stable")
    parts = np.array_split(order, min(POINTS, x.size))
    return tuple((float(x[part].mean()), float(errors[part].max())) for part in parts)
