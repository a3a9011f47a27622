"""Transpose: axes in another order; the batch stays in front."""

from collections import Counter
from dataclasses import dataclass

from hwsim.op import Action, Array, Op, Specs, need
from hwsim.spec import TensorSpec


@dataclass(frozen=True, slots=True)
class Transpose(Op):
    """`order[i]` is the input axis that becomes axis i."""

    order: tuple[int, ...]

    onnx = "Transpose"
    torch = ("aten.permute", "aten.transpose")

    def infer(self, inputs: Specs) -> TensorSpec:
        """Sizes and the channel axis move along."""
        (x,) = inputs
        need(
            sorted(self.order) == list(range(len(x.shape))),
            f"each of {len(x.shape)} axes once",
            self.order,
            "fix the order",
        )
        need(not x.batched or self.order[0] == 0, "the batch must stay the leading axis", self.order, "slice before")
        quant = x.quant
        if quant is not None and quant.axis is not None:
            quant = quant.moved_to(self.order.index(quant.axis))
        return TensorSpec(tuple(x.shape[i] for i in self.order), quant, x.batched)

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """A view."""
        return values[0].transpose(self.order)

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """Nothing."""
        return Counter()
