import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import IllegalModel
from hwsim.ops.slice import Slice
from hwsim.spec import QuantSpec, TensorSpec


@given(data=st.data(), axis=st.sampled_from((1, 2)), bounds=st.tuples(st.integers(0, 4), st.integers(1, 5)))
def test_codes_keep_their_meaning(draw, apply, data, axis, bounds):
    codes, spec = draw.tensor(data, (1, 5, 5), images=2)
    start, stop, step = bounds[0], max(bounds[0] + 1, bounds[1]), data.draw(st.integers(1, 3))
    kept, out = apply(Slice(axis, start, stop, step), (codes, spec))
    where = (slice(None),) * axis + (slice(start, stop, step),)
    np.testing.assert_array_equal(kept, codes[where])
    assert (kept.shape, out.quant, kept.dtype) == ((2, *out.shape[1:]), spec.quant, codes.dtype)
    one, flat = apply(Slice(axis, start, start + 1, drop=True), (codes, spec))
    np.testing.assert_array_equal(one, codes.take(start, axis))
    assert flat.shape == (1, 5)


SPEC = TensorSpec((1, 4, 3))


@pytest.mark.parametrize(
    ("op", "x", "text"),
    [
        (Slice(0, 0, 1), SPEC, "the batch is not sliced, got 0; slice another axis"),
        (Slice(3, 0, 1), SPEC, "an axis is 0..2, got 3; count axes from the front"),
        (Slice(-1, 0, 1), SPEC, "an axis is 0..2, got -1; count axes from the front"),
        (Slice(1, 0, 5), SPEC, "a range of 4, got Slice(axis=1, start=0, stop=5, step=1, drop=False); fix the range"),
        (Slice(1, 2, 2), SPEC, "a range of 4, got Slice(axis=1, start=2, stop=2, step=1, drop=False); fix the range"),
        (
            Slice(1, 0, 2, drop=True),
            SPEC,
            "a range of 4, got Slice(axis=1, start=0, stop=2, step=1, drop=True); fix the range",
        ),
        (
            Slice(1, 0, 1),
            TensorSpec((1, 2, 3), QuantSpec(4, True, (1.0, 1.0), (0, 0), 1)),
            "codes have one scale along the sliced axis, got (B, 2, 3) s4 per_channel(axis=1, n=2); quantize per tensor",
        ),
    ],
)
def test_illegal(op, x, text):
    with pytest.raises(IllegalModel) as caught:
        op.infer((x,))
    assert str(caught.value) == text
