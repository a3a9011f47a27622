"""Dequantize (S1): real = scale * (q - zero_point), from codes or accumulators to floats: the door of a float island."""

from collections import Counter
from dataclasses import dataclass

from hwsim.op import Action, Array, Op, Specs, need
from hwsim.spec import FLOAT_BITS, TensorSpec


@dataclass(frozen=True, slots=True)
class Dequantize(Op):
    """The reals that the codes stand for."""

    onnx = "DequantizeLinear"

    def infer(self, inputs: Specs) -> TensorSpec:
        """A float of the same shape."""
        (x,) = inputs
        need(x.quant is not None, "dequantize takes codes", x, "remove it")
        return TensorSpec(x.shape, None, x.batched)

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """S1 in float64."""
        assert inputs[0].quant is not None
        return inputs[0].quant.to_real(values[0])

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """One dequantize per element."""
        return Counter({Action("dequantize", inputs[0].bits, FLOAT_BITS): out.elements})
