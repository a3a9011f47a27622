import numpy as np
import pytest

from hwsim.errors import HwsimError
from hwsim.lower.ranges import measure
from hwsim.simulator import simulate


@pytest.mark.parametrize("threads", [1, 3])
def test_ranges_are_those_of_all_images_at_once(mlp, images, threads):
    seen = measure(mlp, {"x": images}, threads=threads)
    floats = [name for name, spec in mlp.specs.items() if spec.quant is None and spec.batched]
    values = {"x": images, **simulate(mlp, {"x": images}, [n for n in floats if n != "x"])}
    assert set(seen) == set(floats)
    for name in floats:
        assert seen[name].low == values[name].min()
        assert seen[name].high == values[name].max()
        assert seen[name].row_top == values[name].max(axis=-1).min()
        np.testing.assert_array_equal(seen[name].channels, np.abs(values[name]).max(axis=(0, 1)))


def test_no_images_are_no_calibration(mlp):
    with pytest.raises(HwsimError, match=r"^x: images must have shape "):
        measure(mlp, {"x": np.zeros((0, 3, 5))})
