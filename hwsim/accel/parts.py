"""The tables of an accelerator's file below the top: array, buffers, DRAM, vector unit, pipeline, published figures.

docs/accelerators.md says every key with its unit; `hwsim.accel.accelerator` puts them together.
"""

from collections.abc import Collection, Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from hwsim import catalog
from hwsim.accel.reading import AsTuple, Rule, Table, shown
from hwsim.cost.groups import GROUPS

VECTOR_CYCLES: Mapping[str, float] = {
    **dict.fromkeys(("add", "mul", "max", "shift", "move"), 1.0),
    **dict.fromkeys(("lookup", "quantize", "requantize", "dequantize"), 1.0),
    **dict.fromkeys(("exp", "tanh"), 4.0),
    **dict.fromkeys(("div", "sqrt", "erf"), 8.0),
}
"""Cycles per lane of each kind of action (`hwsim.op.Action`) where a machine does not say: ours, see docs/accelerators.md."""

PRODUCTS = tuple(group for group in GROUPS if group != "elementwise")

Megahertz = Annotated[float, Field(ge=1, le=10_000), Rule("a number of MHz from 1 to 10000", "500")]
Gigabytes = Annotated[float, Field(gt=0, le=10_000), Rule("a number of GB/s (10^9 bytes) above 0 up to 10000", "25.6")]
Kibibytes = Annotated[float, Field(gt=0, le=2**16), Rule("a number of KiB above 0 up to 65536", "128")]
PortBytes = Annotated[float, Field(gt=0, le=2**20), Rule("a number of bytes per cycle above 0 up to 1048576", "64")]
Side = Annotated[int, Field(ge=1, le=65_536), Rule("an integer from 1 to 65536 (PEs)", "32")]
Arrays = Annotated[int, Field(ge=1, le=65_536), Rule("an integer from 1 to 65536 (arrays)", "1")]
Lanes = Annotated[int, Field(ge=1, le=2**20), Rule("an integer from 1 to 1048576 (lanes)", "32")]
Operands = Annotated[int, Field(ge=1, le=65_536), Rule("an integer from 1 to 65536 (operands per cycle)", "16")]
LineBits = Annotated[int, Field(ge=1, le=65_536), Rule("an integer from 1 to 65536 (bits)", "64")]
Cycles = Annotated[float, Field(ge=0, le=10_000), Rule("a number of cycles from 0 to 10000", "1")]
Width = Annotated[int, Field(ge=1, le=32), Rule("an integer from 1 to 32 (bits; 32 is a float)", "8")]


class Array(Table):
    """`count` equal arrays of rows x cols PEs, and how a GEMM runs on one (`hwsim.accel.gemm_cycles`)."""

    rows: Side
    cols: Side
    count: Arrays = 1
    dataflow: Literal["output_stationary", "weight_stationary", "input_stationary", "best"]
    """`best` takes for each layer the one with fewest cycles."""
    interconnect: Literal["systolic", "broadcast"] = "systolic"
    """`broadcast`: operands reach all PEs at once; there is no fill and no drain."""
    shadow_registers: bool = False
    back_to_back: bool = False
    accumulators: bool = False
    true_edges: bool = False
    split: Literal["none", "m", "n"] = "none"
    """Which dimension spreads over the arrays that a layer's products (heads, windows, batch) leave over."""


class Buffer(Table):
    """A buffer on chip and its port towards the array."""

    kib: Kibibytes
    bytes_per_cycle: PortBytes
    """Total width of the port."""
    port_bits: LineBits = 64
    """Width of one word line, in which codes lie (`Buffers.packing`)."""
    double_buffered: bool = True
    """Half of it loads while the other is in use."""


class Buffers(Table):
    """What lies between the array and DRAM."""

    activations: Buffer
    weights: Buffer
    outputs: Buffer
    packing: Literal["dense", "whole_words", "power_of_two"] = "dense"
    """How codes lie in word lines: without gaps, as many whole ones as fit, or each in 1, 2, 4, 8, ... bits."""
    resident_kib: Annotated[float, Field(ge=0, le=2**20), Rule("a number of KiB from 0 to 1048576", "0")] = 0.0
    """Further memory where activations stay between layers instead of going to DRAM."""


class Dram(Table):
    """Memory off chip."""

    gb_per_s: Gigabytes
    """10^9 bytes per second, of reads and writes together."""
    float_bits: Width = 16
    """Bits in which float values, as the residual stream, are stored."""


class Vector(Table):
    """The unit for everything that is no product."""

    lanes: Lanes
    overlap: Literal["none", "elementwise", "all"] = "none"
    """What runs while the array works on the same stage: nothing, what needs no whole row first, everything."""
    cycles: Annotated[dict[str, Cycles], Field(validate_default=True)] = {}  # noqa: RUF012 (pydantic copies it)
    """Cycles of an action per lane, by its kind; kinds that are left out take VECTOR_CYCLES."""

    @field_validator("cycles", mode="after")
    @classmethod
    def _every_kind(cls, cycles: dict[str, float]) -> dict[str, float]:
        _known("", cycles, VECTOR_CYCLES, "kind of action")
        return {**VECTOR_CYCLES, **cycles}


class Unit(Table):
    """A unit of a pipeline: operands that it takes per cycle along each dimension of its GEMM."""

    m: Operands = 1
    k: Operands = 1
    n: Operands = 1


class Stream(Table):
    """A unit of a pipeline for work that is no product: elements that it takes per cycle, each `passes` times."""

    elements: Operands = 1
    passes: Operands = 1


class Pipeline(Table):
    """Every layer has a unit of its own; frames follow each other at the slowest one's pace."""

    units: dict[str, Unit]
    """For products, by the group of their layer."""
    vector: dict[str, Stream] = {}  # noqa: RUF012 (pydantic copies it)
    """For other work, by its role (`hwsim.cost.groups.role_of`); what is left out keeps up with the rest."""

    @field_validator("units", mode="after")
    @classmethod
    def _groups(cls, units: dict[str, Unit]) -> dict[str, Unit]:
        _known("", units, PRODUCTS, "group of layers")
        return units

    @field_validator("vector", mode="after")
    @classmethod
    def _roles(cls, vector: dict[str, Stream]) -> dict[str, Stream]:
        _known("", vector, ("residual", "bias", "qk_norm", *catalog.names("hwsim.ops")), "role of work")
        return vector


class Published(Table):
    """A figure of the literature that the machine can be held to."""

    model: str
    wbits: Width
    abits: Width
    batch: Annotated[int, Field(ge=1, le=65_536), Rule("an integer from 1 to 65536 (images)", "1")] = 1
    groups: Annotated[tuple[str, ...], AsTuple, Rule("a list of groups of layers", '["qkv", "proj"]')] = ()
    """The layers that it is about; none means the whole model."""
    metric: Literal["cycles", "compute_cycles", "latency", "latency_cycles", "fps", "peak"]
    """`cycles` from one batch to the next, `compute_cycles` those of the arrays alone, `latency` of a batch in ms,
    `latency_cycles` the same in cycles, `fps` images per second, `peak` 10^12 operations per second, a MAC being two."""
    value: Annotated[float, Field(gt=0), Rule("a number above 0", "1.0")]
    unit: str
    source: str
    status: Literal["printed", "recalled", "inferred"]
    band: Annotated[
        tuple[float, float] | None, AsTuple, Rule("two numbers, least and most of ours/published", "[0.98, 1.02]")
    ] = None
    """What ours divided by it may be; none means that it is only shown."""
    note: str = ""

    @model_validator(mode="after")
    def _sensible(self) -> "Published":
        _known("groups", self.groups, PRODUCTS, "group of layers")
        if self.band is not None and not 0 < self.band[0] <= self.band[1]:
            raise ValueError(
                f"band must be two numbers 0 < least <= most, got {list(self.band)}; write band = [0.9, 1.1]"
            )
        return self


def _known(key: str, given: Collection[str], known: Collection[str], what: str) -> None:
    """Raise ValueError, to be read after the place of the table, unless all `given` are known."""
    for one in given:
        if one not in known:
            nearest = ", ".join(catalog.nearest(one, known))
            raise ValueError(f"{key or one} must be a known {what}, got {shown(one)}; known, nearest first: {nearest}")
