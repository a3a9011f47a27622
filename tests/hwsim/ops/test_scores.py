"""What holds for every integer softmax (S12): distance to the float one, order, sums, widths, and what they refuse."""

import dataclasses
import math
from operator import truediv

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hwsim.errors import IllegalModel
from hwsim.ops._polynomial import LN2, lowered_polynomial, polynomial
from hwsim.ops._scores import most_fraction_bits, row_bits
from hwsim.ops.ibertsoftmax import IBertSoftmax
from hwsim.ops.logintsoftmax import LogIntSoftmax
from hwsim.ops.shiftmax import Shiftmax
from hwsim.ops.softmax import Softmax
from hwsim.ops.tablesoftmax import TableSoftmax
from hwsim.spec import BipolarSpec, QuantSpec, TensorSpec

OPS = {Shiftmax: 16, IBertSoftmax: 16, LogIntSoftmax: 4, TableSoftmax: 16}
EVERY = pytest.mark.parametrize(("op_class", "bits"), OPS.items(), ids=lambda value: getattr(value, "__name__", ""))
SCALES = (0.1, 0.05, 0.02, 0.01)


def scores(scale, length, bits=10, zero=0, signed=True):
    return TensorSpec((1, length), QuantSpec(bits, signed, (scale,), (zero,)))


def run(op, codes, spec):
    """Codes and reals of the operator, and the reals of float softmax."""
    out = op.infer((spec,))
    codes = np.asarray(codes).astype(spec.quant.container)
    result = op.run((codes,), (spec,), out)
    return result, out.quant.to_real(result), op.reference(spec.quant.to_real(codes), (spec,), out)


def sweep(spec):
    """Rows: equal; at random, of six widths; one on top, some at each distance below it, the others at the bottom."""
    scale, low, high, length = spec.quant.scale[0], spec.quant.qmin, spec.quant.qmax, spec.shape[-1]
    generator = np.random.default_rng(0)
    parts = [np.zeros((1, length))]
    parts += [np.rint(generator.normal(0, width / scale, (200, length))) for width in (0.25, 0.5, 1, 2, 4, 8)]
    below = np.arange(min(int(9 / scale), high - low) + 1)
    for count in (1, 2, 5, 20, length - 1):
        rows = np.full((below.size, length), low)
        rows[:, 0] = high
        rows[:, 1 : 1 + count] = high - below[:, np.newaxis]
        parts.append(rows)
    return np.clip(np.concatenate(parts), low, high)


DISTANCE = {  # (length, scale): the largest distance of a probability to the float one over the sweep, as measured
    Shiftmax: {
        (65, 0.1): 0.0283,
        (65, 0.05): 0.0238,
        (65, 0.02): 0.0212,
        (65, 0.01): 0.0196,
        (197, 0.1): 0.0311,
        (197, 0.05): 0.0238,
        (197, 0.02): 0.0217,
        (197, 0.01): 0.0206,
    },
    IBertSoftmax: {
        (65, 0.1): 0.0108,
        (65, 0.05): 0.0109,
        (65, 0.02): 0.0109,
        (65, 0.01): 0.0109,
        (197, 0.1): 0.0138,
        (197, 0.05): 0.0138,
        (197, 0.02): 0.0138,
        (197, 0.01): 0.0138,
    },
    LogIntSoftmax: {(length, scale): 0.331 for length in (65, 197) for scale in SCALES},
    TableSoftmax: {(length, scale): 1.2 * 2.0**-16 for length in (65, 197) for scale in SCALES},
}


@EVERY
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("length", [65, 197])
def test_distance_order_and_sum(op_class, bits, length, scale):
    spec = scores(scale, length)
    codes = sweep(spec)
    _, real, exact = run(op_class.lower(spec, bits), codes, spec)
    assert 0.5 * DISTANCE[op_class][length, scale] < np.abs(real - exact).max() <= DISTANCE[op_class][length, scale]

    order = np.argsort(codes, axis=-1, kind="stable")
    steps = np.diff(np.take_along_axis(real, order, -1), axis=-1)
    assert (steps >= 0).all(), "a larger score is never less probable"
    assert (steps[np.diff(np.take_along_axis(codes, order, -1), axis=-1) == 0] == 0).all(), "equal scores are"

    total, lsb = real.sum(axis=-1), 2.0**-bits
    if op_class is LogIntSoftmax:
        assert (total >= 0.75 * (1 - length * 2.0**-14)).all()
        assert (total < 1.5).all()
    elif op_class is TableSoftmax:
        assert (np.abs(total - 1) <= (length / 2 + 1) * lsb).all()
    else:
        assert (total <= 1).all()
        assert (total > 1 - (length + 1) * lsb).all()


@pytest.mark.parametrize(
    ("op_class", "between", "worst"),
    [
        (Shiftmax, (0.15, 0.25), 0.252),
        (Shiftmax, (0.05, 0.1), 0.12),
        (IBertSoftmax, (0.05, 0.1), 0.137),
        (LogIntSoftmax, (0.05, 0.1), 0.333),
        (TableSoftmax, (0.15, 0.25), 1.2 * 2.0**-16),
    ],
)
def test_any_scale_up_to_the_limit(op_class, between, worst):
    """The round scales are lucky ones: the worst of 61 others."""
    errors = []
    for scale in np.linspace(*between, 61):
        spec = scores(float(scale), 65)
        _, real, exact = run(op_class.lower(spec, OPS[op_class]), sweep(spec), spec)
        errors.append(np.abs(real - exact).max())
    assert 0.5 * worst < max(errors) <= worst


@pytest.mark.parametrize(
    ("op_class", "whole", "worst"),
    [(Shiftmax, 1.0, 0.054), (IBertSoftmax, math.log(2), 0.0032)],
    ids=["shift", "i-exp"],
)
def test_scales_that_fit(op_class, whole, worst):
    """Where 1 / S, or ln 2 / S, is a whole number nothing is lost by rounding it."""
    errors = []
    for count in (4, 5, 7, 8, 10, 14, 20, 35, 70):
        if whole / count > 0.1 and op_class is IBertSoftmax:
            continue
        spec = scores(whole / count, 65)
        _, real, exact = run(op_class.lower(spec, 16), sweep(spec), spec)
        errors.append(np.abs(real - exact).max())
    assert 0.9 * worst < max(errors) <= worst


@EVERY
@given(data=st.data(), length=st.integers(1, 40), width=st.integers(2, 10), signed=st.booleans())
def test_only_differences_count(op_class, bits, data, length, width, signed):
    """Neither a zero point nor a common offset changes a code."""
    spec = scores(0.05, length, width, 0, signed)
    low, high = spec.quant.qmin, spec.quant.qmax
    zero, offset = data.draw(st.integers(low, high)), data.draw(st.integers(0, (high - low) // 2))
    codes = np.random.default_rng(data.draw(st.integers(0))).integers(low, high + 1 - offset, (3, length))
    op = op_class.lower(spec, bits)
    wanted, _, _ = run(op, codes, spec)
    assert (run(op, codes + offset, spec)[0] == wanted).all()
    elsewhere = scores(0.05, length, width, zero, signed)
    assert op_class.lower(elsewhere, bits) == op
    assert (run(op, codes, elsewhere)[0] == wanted).all()


@EVERY
@pytest.mark.parametrize("length", [1, 2, 3, 64, 197])
def test_equal_scores(op_class, bits, length):
    """Every probability is the same, 1 / N within the rounding; a single score gets all there is."""
    spec = scores(0.05, length)
    for code in (spec.quant.qmin, 0, spec.quant.qmax):
        result, real, _ = run(op_class.lower(spec, bits), np.full((2, length), code), spec)
        assert (result == result[0, 0]).all()
        if op_class is LogIntSoftmax:
            assert result[0, 0] == math.floor(math.log2(length / 1.5) + 1)
        else:
            assert abs(real[0, 0] - 1 / length) <= 1.01 * 2.0**-bits
    if length == 1:
        assert result[0, 0] == (0 if op_class is LogIntSoftmax else 2**bits - 1)


@EVERY
def test_masked_scores(op_class, bits):
    """What lies 100 below the maximum is nothing, and the others are as if it were not there."""
    spec = scores(0.1 if op_class is TableSoftmax else 0.05, 49, 10 if op_class is TableSoftmax else 12)
    codes = np.random.default_rng(0).integers(-60, 60, (50, 49))
    codes[:, 9:] = spec.quant.qmin
    op = op_class.lower(spec, bits)
    result, real, _ = run(op, codes, spec)
    assert (real[:, 9:] == 0).all()
    assert (result[:, :9] == run(op, codes[:, :9], spec.shaped((1, 9)))[0]).all()


@EVERY
def test_the_whole_32_bit_range_of_scores(op_class, bits):
    """The row's maximum less its minimum is 2^32 - 1."""
    if op_class is TableSoftmax:
        return
    for signed in (True, False):
        spec = scores(0.05, 3, 32, 0, signed)
        ends = np.array([[spec.quant.qmin, spec.quant.qmax, spec.quant.qmin], [spec.quant.qmax] * 3])
        _, real, _ = run(op_class.lower(spec, bits), ends, spec)
        assert (real[0, ::2] == 0).all()
        assert real[0, 1] >= 1 - 2.0**-bits
        assert (abs(real[1] - 1 / 3) < 0.2).all()


@EVERY
@pytest.mark.parametrize("length", [1, 17, 65, 197, 1024])
@pytest.mark.parametrize("scale", [*SCALES, 0.0333])
def test_the_proven_width(op_class, bits, length, scale):
    """It is met by equal scores, is within 32 bits, and one more bit of weight would not be (but for n = 15)."""
    spec = scores(scale, length)
    op = op_class.lower(spec, bits)
    largest = op.table[0] if op_class is TableSoftmax else op.largest
    needed = row_bits(length, largest)
    assert needed == (length * largest).bit_length() + 1
    assert needed <= op.sum_bits == 32
    if op_class in (IBertSoftmax, LogIntSoftmax):
        assert row_bits(length, 2 * largest) > 32
        with pytest.raises(
            IllegalModel, match=rf"^a row of {length} scores needs a sum of {needed + 1} bits, got 32; "
        ):
            dataclasses.replace(op, fraction_bits=op.fraction_bits + 1).infer((spec,))
    with pytest.raises(IllegalModel) as caught:
        dataclasses.replace(op, sum_bits=needed - 1).infer((spec,))
    assert str(caught.value) == (
        f"a row of {length} scores needs a sum of {needed} bits, got {needed - 1}; "
        "make the scores coarser (least_score_step)"
    )


@pytest.mark.parametrize(
    ("scale", "weight_bits", "most"),
    [(0.5, 33.5, 19), (0.1, 38.1, 15), (0.05, 40.1, 13), (0.02, 42.8, 10), (0.01, 44.8, 8)],
)
def test_thirty_fraction_bits_overflow(scale, weight_bits, most):
    """I-BERT's and FQ-ViT's released n = 30 needs 33 to 45 bits for one weight; what 197 of them leave in 32 bits."""
    c = polynomial(scale)[-1]
    assert math.log2(c << 30) == pytest.approx(weight_bits, abs=0.06)
    assert most_fraction_bits(197, c) == most
    if scale == 0.5:
        return
    spec = scores(scale, 197)
    constants = lowered_polynomial(spec)
    assert constants[-1] == most
    for op in (IBertSoftmax(*constants[:-1], 30), LogIntSoftmax(*constants[:-1], 30)):
        with pytest.raises(
            IllegalModel, match=r"^a row of 197 scores needs a sum of [45]\d bits, got 32; make the scores coarser"
        ):
            op.infer((spec,))
        dataclasses.replace(op, sum_bits=54).infer((spec,))


PER_HEAD = TensorSpec((1, 2, 5), QuantSpec(8, True, (0.05, 0.1), (0, 0), 1))


@EVERY
@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (TensorSpec((1, 5)), "takes integer scores, got (B, 5) float; quantize them first"),
        (
            TensorSpec((1, 5), BipolarSpec((0.1,))),
            "takes integer scores, got (B, 5) bipolar per_tensor scale=0.1; quantize",
        ),
        (
            PER_HEAD,
            "takes scores of one scale, got (B, 2, 5) s8 per_channel(axis=1, n=2); requantize the scores to one scale",
        ),
        (scores(1e-30, 5), "needs a score scale of 2**-30 or more, got 1e-30; calibrate the scores"),
        (scores(1e30, 5), "or less, got 1e+30; give the scores more bits (score_bits)"),
    ],
)
def test_refused_scores(op_class, bits, spec, text):
    fine = op_class.lower(scores(0.05, 5, 8), bits)
    for refusing in (lambda: op_class.lower(spec, bits), lambda: fine.infer((spec,))):
        with pytest.raises(IllegalModel, match=r".") as caught:
            refusing()
        assert text in str(caught.value)


@pytest.mark.parametrize(
    ("op_class", "scale", "text"),
    [
        (
            IBertSoftmax,
            0.5,
            "i-exp needs a score scale of 0.1 or less, got 0.5; give the scores more bits (score_bits)",
        ),
        (
            LogIntSoftmax,
            0.11,
            "i-exp needs a score scale of 0.1 or less, got 0.11; give the scores more bits (score_bits)",
        ),
        (
            Shiftmax,
            0.5,
            "shiftmax needs a score scale of 0.25 or less, got 0.5; give the scores more bits (score_bits)",
        ),
        (IBertSoftmax, 2e-5, "a row of 5 scores needs a sum of 37 bits, got 32; "),
        (Shiftmax, 1e-9, "a row of 5 scores needs a sum of 34 bits, got 32; "),
    ],
)
def test_refused_scales(op_class, scale, text):
    with pytest.raises(IllegalModel, match=r".") as caught:
        op_class.lower(scores(scale, 5), OPS[op_class])
    assert str(caught.value).startswith(text)


DIVIDING = st.builds(truediv, st.sampled_from((1.0, LN2)), st.integers(2, 10**6))
"""Of which some are not what a quotient of floats makes of them: 1 / (1 / 93) is below 93."""


@given(scale=st.floats(2.0**-30, 1e6) | DIVIDING)
@example(scale=1 / 93)
@example(scale=LN2 / 15)
def test_a_fitted_scale_is_no_finer_and_its_constants_are_exact(scale):
    for op_class, whole in ((Shiftmax, 1.0), (IBertSoftmax, LN2), (LogIntSoftmax, LN2)):
        fitted = op_class.fitted_scale(scale)
        assert fitted >= scale * (1 - 1e-15)
        if scale < whole:
            steps = whole / fitted
            assert abs(steps - round(steps)) < 1e-15 * steps + 1e-12
            assert whole / (round(steps) + 1) < scale, "the least"
            assert whole == 1 or polynomial(fitted)[0] == round(steps)
        else:
            assert fitted == scale
    assert TableSoftmax.fitted_scale(scale) == scale


def test_the_reference_is_the_float_operator(floats, apply):
    x, spec = floats(np.random.default_rng(0).normal(0, 4, (3, 2, 7)))
    wanted, _ = apply(Softmax(), (x, spec))
    for op_class, bits in OPS.items():
        op = op_class.lower(scores(0.05, 7), bits)
        np.testing.assert_allclose(op.reference(x, (), spec), wanted, rtol=1e-14)
        assert (op.stands_for, bool(op.source)) == ("softmax", True)
