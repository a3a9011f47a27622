"""Slice: elements start, start + step, ... before stop of one axis; or a single one, dropping the axis."""

from collections import Counter
from dataclasses import dataclass

from hwsim.op import Action, Array, Op, Specs, need, need_axes
from hwsim.spec import TensorSpec


@dataclass(frozen=True, slots=True)
class Slice(Op):
    """Of `axis` (never the batch); `drop` removes the axis, which must then keep one element."""

    axis: int
    start: int
    stop: int
    step: int = 1
    drop: bool = False

    onnx = "Slice"
    torch = (
        *("aten.slice", "aten.select", "aten.unbind"),
        *("aten.chunk", "aten.split", "aten.split_with_sizes", "aten.tensor_split"),
    )

    def infer(self, inputs: Specs) -> TensorSpec:
        """The kept elements; codes keep their one scale."""
        (x,) = inputs
        need_axes((self.axis,), x)
        need(not (x.batched and self.axis == 0), "the batch is not sliced", self.axis, "slice another axis")
        size = len(range(self.start, self.stop, self.step))
        inside = 0 <= self.start < self.stop <= x.shape[self.axis]
        need(inside and (size == 1 or not self.drop), f"a range of {x.shape[self.axis]}", self, "fix the range")
        axis = None if x.quant is None else x.quant.axis
        need(axis != self.axis, "codes have one scale along the sliced axis", x, "quantize per tensor")
        quant = x.quant
        if quant is not None and axis is not None and self.drop and axis > self.axis:
            quant = quant.moved_to(axis - 1)
        kept = () if self.drop else (size,)
        return TensorSpec((*x.shape[: self.axis], *kept, *x.shape[self.axis + 1 :]), quant, x.batched)

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """A view."""
        front = values[0].swapaxes(0, self.axis)
        kept = front[self.start : self.stop : self.step].swapaxes(0, self.axis)
        return kept.squeeze(self.axis) if self.drop else kept

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """Nothing."""
        return Counter()
