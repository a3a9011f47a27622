"""The base of quantizers whose grid is a table (S14): powers of two and the like, two uniform ranges.

The table is the state: buffers `boundaries`, `significand`, `shift` and `zero` as `qmodels.fake_quantize` has them, and
`unit`, a power of two, so that scale * unit is what one of the table's integers means and `scale`, (size,), is about the
largest real of the grid. All scales share the table. A checkpoint restores it without knowing how it was found, and nothing
in it is learned. Codes are indices of the table, never signed, whatever the values are.

A subclass gives tables to choose from (`tables`), and `initialise` takes the one of least squared error, with the best scale
for it. It also gives the one it starts with (`first`): uncalibrated, and where a model has shapes and no numbers.

A table ends where the sums of its products would leave an int32 (`room`), if the other operand is as wide as this one and the
last axis is what is summed. Published grids of 4 bits and less have room up to 2^13 terms; wider ones repeat their last code.
"""

import math
from abc import abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor

from hwsim.errors import HwsimError
from hwsim.spec import MAX_SHIFT_BITS, ShiftSpec
from qmodels.clipping import need_finite
from qmodels.fake_quantize import PAD, intervals, shift_quantize, table
from qmodels.quantizer import SCALE_FLOOR, Quantizer
from qmodels.squared_error import Sample, sample

LIMIT = 1 << 14
"""Values per scale that take part in a search: of tables some hundred are tried."""
Tables = Iterable[tuple[ShiftSpec, Tensor]]
"""Grids to choose from: a table, and factors (C, S) of its scale."""


TERMS = 1024
"""Terms of the sums for which a table is that is not calibrated, or calibrated on values without axes."""


def room(bits: int, terms: int = TERMS) -> int:
    """log2 of the largest integer that a table may have: times 2^bits, summed `terms` times, it fits an int32; 1 at least."""
    return max(1, 31 - bits - math.ceil(math.log2(terms)))


class ShiftQuantizer(Quantizer):
    """Quantizer of a table; `kind` is its name in the catalogue, `least` how many bits it needs."""

    boundaries: Tensor
    significand: Tensor
    shift: Tensor
    zero: Tensor
    unit: Tensor
    kind: str
    least, most = 1, MAX_SHIFT_BITS

    def __init__(
        self, bits: int, *, signed: bool = False, axis: int | None = None, size: int = 1, batched: bool = True
    ) -> None:
        if signed:
            raise HwsimError(f"{self.kind}: codes are indices of a table, got signed ones; use {self.kind}:unsigned")
        if not self.least <= bits <= self.most:
            raise HwsimError(f"{self.kind}: bits must be {self.least}..{self.most}, got {bits}; use uniform")
        super().__init__(bits, 0, 2**bits - 1, axis=axis, size=size, batched=batched)
        self.scale.requires_grad_(False)
        self.register_buffer("zero_point", torch.zeros(size))
        self.register_buffer("boundaries", torch.full((2**bits - 1,), PAD, dtype=torch.float64))
        self.register_buffer("unit", torch.ones(1, dtype=torch.float64))
        for name, count in (("significand", 2**bits), ("shift", 2**bits), ("zero", 1)):
            self.register_buffer(name, torch.zeros(count, dtype=torch.int64))
        self._take(self.first(bits))

    @classmethod
    @abstractmethod
    def first(cls, bits: int) -> ShiftSpec:
        """The grid to start with, whose largest value is about 1."""

    @abstractmethod
    def tables(self, rows: Tensor, room: int) -> Tables:
        """The grids to choose from for `rows` (S, n) of finite values, of integers up to 2^room."""

    def forward(self, x: Tensor) -> Tensor:
        """`x` on the grid, same shape."""
        numbers = (self.boundaries, self.significand, self.shift, self.zero)
        return shift_quantize(x, self._step(x), *numbers, self.axis, self.kind)

    @torch.no_grad()
    def set_table(self, spec: ShiftSpec, factor: Tensor | None = None) -> None:
        """Take the table of `spec`, with its scale or `factor` (size,) times it, and mark it as calibrated."""
        self._take(spec, factor)
        self.calibrated = True

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Set table and scale to those of least squared error on `x`; raises HwsimError unless all of it is finite."""
        need_finite(x)
        rows = self.sharing(x.detach())
        seen = sample(rows, LIMIT)
        least, found = math.inf, None
        for spec, factors in self.tables(rows, room(self.bits, x.shape[-1] if x.dim() > 1 else TERMS)):
            errors = torch.stack([_error(seen, spec, factor) for factor in factors])
            if errors.amin(0).sum().item() < least:
                least = errors.amin(0).sum().item()
                found = spec, factors.gather(0, errors.argmin(0, keepdim=True))[0]
        assert found is not None, f"{self.kind}: tables gave none"
        self.set_table(*found)

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """The codes of the intervals that hold `x`, int32."""
        values, codes = table(self.significand, self.shift, self.zero)
        return codes.to(torch.int32)[intervals(x, self._step(x), self.boundaries, len(values), self.axis)]

    def spec(self) -> ShiftSpec:
        """The table in use with the first of the scales; raises ValueError where its numbers are no grid."""
        count = len(table(self.significand, self.shift, self.zero)[0])
        scale = (self.positive_scale().double() * self.unit.double())[0].item()
        numbers = (tuple(t.tolist()) for t in (self.significand, self.shift, self.boundaries[: count - 1].double()))
        return ShiftSpec(self.bits, (scale,), *numbers, int(self.zero))

    def _step(self, x: Tensor) -> Tensor:
        """What one of the table's integers means, (size,) in the dtype of `x`."""
        return self.positive_scale().to(x.dtype) * self.unit.to(x.dtype)

    def _take(self, spec: ShiftSpec, factor: Tensor | None = None) -> None:
        if spec.bits != self.bits or len(spec.scale) not in (1, self.scale.numel()):
            raise ValueError(
                f"{self.kind}: it has {self.bits} bits and {self.scale.numel()} scales, got {spec.bits} and {len(spec.scale)}"
            )
        largest = 2.0 ** math.ceil(math.log2(abs(spec.values()).max()))
        scales = torch.tensor(spec.scale, dtype=torch.float64, device=self.scale.device) * largest
        self.scale.copy_(scales if factor is None else scales * factor.to(scales)).clamp_(min=SCALE_FLOOR)
        self.unit.fill_(1 / largest)
        for name in ("significand", "shift"):
            getattr(self, name).copy_(torch.tensor(getattr(spec, name)))
        self.zero.fill_(spec.zero)
        self.boundaries.fill_(PAD)[: len(spec.boundaries)] = torch.tensor(spec.boundaries, dtype=torch.float64)


def top(rows: Tensor) -> Tensor:
    """The largest value of each of `rows` (S, n), shape (S,); 1 where none is positive."""
    largest = rows.amax(1)
    return torch.where(largest > 0, largest, torch.ones_like(largest))


def octaves(rows: Tensor, first: int, last: int) -> Tensor:
    """The largest values of `rows` times 2^(k / 8) for k = first..last, shape (last - first + 1, S)."""
    return top(rows) * torch.arange(first, last + 1, dtype=rows.dtype, device=rows.device).div(8).exp2()[:, None]


def _error(seen: Sample, spec: ShiftSpec, factor: Tensor) -> Tensor:
    """The squared error (S,) of what was seen on the table of `spec`, each row with its factor (S,) of the scale."""
    x, step = seen.values, (spec.scale[0] * factor)[:, None]
    boundaries, values = (
        torch.tensor(numbers, dtype=x.dtype, device=x.device)
        for numbers in (spec.boundaries, spec.values()[spec.order()])
    )
    return seen.error(values[torch.bucketize((x / step).contiguous(), boundaries, right=True)] * step)
