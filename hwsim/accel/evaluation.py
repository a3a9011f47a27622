"""Cycles, traffic and stalls of a program on a machine, in closed form.

Layer by layer, each stage takes, for the batch,

    arrays    the cycles of its products (`compute`): useful + mapping + fill
    port      what the slowest port of a buffer needs beyond that: words of the operands, and sums of 32 bits that are
              written and read once each, in lines as `packing` lays them; the three ports work side by side
    vector    actions x cycles / lanes; beside the arrays, as far as `overlap` says, else behind them
    dram      what of the traffic does not fit beside all of the above (`traffic`)

so nothing of one stage runs beside the next. A batch goes through as a whole, or in equal parts, whichever takes fewer
cycles. The vector unit's own words are part of its cycles, and of no port. Other machines have rules of their own:
`pipeline`, and `compat` where a machine asks for it.
"""

import numpy as np
from numpy.typing import NDArray

from hwsim.accel.accelerator import Accelerator
from hwsim.accel.activity import Activity
from hwsim.accel.compat import as_bitfusion
from hwsim.accel.compute import Compute, Reals, computes, for_images
from hwsim.accel.estimate import Cost, Estimate, Moved, summed
from hwsim.accel.operands import operands_of
from hwsim.accel.parts import Buffer
from hwsim.accel.pipeline import pipelined
from hwsim.accel.program import Program, Stage
from hwsim.accel.program import program as program_of
from hwsim.accel.schemes.fixed import Fixed
from hwsim.accel.tiling import ACCUMULATOR_BITS, stored_bits
from hwsim.accel.traffic import Traffic
from hwsim.errors import HwsimError
from hwsim.graph import Graph
from hwsim.op import Gemm
from hwsim.spec import FLOAT_BITS

FLOAT_PORTS = 4
"""How much wider the ports of operands are in the machine of 32-bit floats."""


def evaluate(
    of: Graph | Program, accelerator: Accelerator, *, batch: int = 1, activity: Activity | None = None
) -> Estimate:
    """What `batch` images take, of a graph or a program of one; one configuration, or many (`accelerator.varied`).

    Raises HwsimError for operands that the machine's PEs cannot take, for activity of another model, and in a pipeline for
    groups of layers without a unit.
    """
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise HwsimError(
            f"batch: must be an integer of 1 or more, got {batch!r}; it is how many images share the weights"
        )
    program = of if isinstance(of, Program) else program_of(of)
    stages = program.stages(accelerator.dram.float_bits, merged=activity is None)
    if accelerator.pipeline is not None:
        return pipelined(program, accelerator, stages, batch, activity)
    if accelerator.compat == "bitfusion":
        costs = tuple(as_bitfusion(stage, accelerator, batch, activity) for stage in stages)
    else:
        costs = _in_equal_parts(stages, accelerator, batch, activity)
    parts = summed(costs)
    return Estimate(program, accelerator, batch, costs, parts, sum(parts.values(), np.asarray(0.0)))


def _in_equal_parts(
    stages: tuple[Stage, ...], machine: Accelerator, batch: int, activity: Activity | None
) -> tuple[Cost, ...]:
    """The costs of a batch that goes through the machine as a whole, or in equal parts one after the other: in those that
    take the fewest cycles, for each configuration."""
    best: tuple[Cost, ...] = ()
    for part in (size for size in range(batch, 0, -1) if batch % size == 0):
        costs = tuple(_stage(stage, machine, part, activity).repeated(batch // part) for stage in stages)
        if best:
            less = _total(costs) < _total(best)
            costs = tuple(old.unless(less, new) for old, new in zip(best, costs, strict=True))
        best = costs
    return best


def _total(costs: tuple[Cost, ...]) -> Reals:
    return sum((cost.stage.times * cost.cycles for cost in costs), np.asarray(0.0))


def float32(accelerator: Accelerator) -> Accelerator:
    """The same machine with one MAC of 32-bit floats per PE and cycle, all values stored at 32 bits, DRAM as it is.

    Its ports of operands are FLOAT_PORTS times as wide, so that they feed as many operands per cycle as 8-bit ones did.
    A machine of such PEs is its own. Raises HwsimError for pipelines, whose units are built for codes, and compat.
    """
    if accelerator.compat or accelerator.pipeline is not None:
        kind = f'compat = "{accelerator.compat}"' if accelerator.compat else "a pipeline"
        raise HwsimError(f"{accelerator.name}: floats need an array of our own model, got {kind}; quantize the model")
    if isinstance(accelerator.precision, Fixed) and accelerator.precision.bits == FLOAT_BITS:
        return accelerator
    buffers = accelerator.buffers
    wider = {
        name: buffer.model_copy(update={"bytes_per_cycle": FLOAT_PORTS * buffer.bytes_per_cycle})
        for name, buffer in (("activations", buffers.activations), ("weights", buffers.weights))
    }
    return accelerator.model_copy(
        update={
            "precision": Fixed(bits=FLOAT_BITS),
            "buffers": buffers.model_copy(update=wider),
            "dram": accelerator.dram.model_copy(update={"float_bits": FLOAT_BITS}),
        }
    )


def _stage(stage: Stage, machine: Accelerator, batch: int, activity: Activity | None) -> Cost:
    operands, toggles = operands_of(stage, machine.precision, activity)
    gemm = for_images(stage.gemm, batch)
    packing = machine.precision.packing(*operands)
    options = [(one, *_ports(one, gemm, machine)) for one in computes(gemm, packing, machine.array)]
    compute, port, sram = _best(options)
    busy, exposed = _vector(stage, machine, batch, compute.cycles + port)
    traffic = Traffic(stage, gemm, machine, batch)
    on_chip = compute.cycles + port + exposed
    parts = {
        "useful": compute.useful,
        "mapping": compute.mapping,
        "fill": compute.fill,
        "port": port,
        "dram": traffic.stall(on_chip),
        "vector": exposed,
    }
    for name, moved in traffic.on_chip.items():
        before = sram.get(name, Moved(np.asarray(0.0), np.asarray(0.0)))
        sram[name] = Moved(before.reads + moved.reads, before.writes + moved.writes)
    vector = {action: count * batch for action, count in stage.actions.items()}
    return Cost(stage, parts, traffic.moved, sram, busy, gemm.macs, gemm.macs, vector, operands, toggles)


def _ports(compute: Compute, gemm: Gemm, machine: Accelerator) -> tuple[Reals, dict[str, Moved]]:
    """Cycles that the arrays wait for the slowest port, and the bits that pass the ports."""
    buffers = machine.buffers
    zero = np.asarray(0.0)
    words = {
        "activations": (compute.a_words, zero, gemm.a_bits),
        "weights": (compute.b_words, zero, gemm.b_bits),
        "outputs": (compute.written_words, compute.written_words, ACCUMULATOR_BITS),
    }
    slowest, sram = zero, {}
    for name, (reads, writes, bits) in words.items():
        buffer: Buffer = getattr(buffers, name)
        stored = stored_bits(bits, buffer, buffers.packing)
        sram[name] = Moved(reads * stored, writes * stored)
        slowest = np.maximum(slowest, (reads + writes) * stored / 8 / buffer.bytes_per_cycle)
    return np.maximum(0.0, slowest - compute.cycles), sram


def _best(options: list[tuple[Compute, Reals, dict[str, Moved]]]) -> tuple[Compute, Reals, dict[str, Moved]]:
    """Of the dataflows the one with fewest cycles of arrays and ports, for each configuration."""
    best = options[0]
    for other in options[1:]:
        less = other[0].cycles + other[1] < best[0].cycles + best[1]

        def pick(one: Reals, two: Reals, less: NDArray[np.bool_] = less) -> Reals:
            return np.where(less, one, two)

        compute = Compute(*(pick(getattr(other[0], name), getattr(best[0], name)) for name in Compute.__slots__))
        sram = {
            name: Moved(pick(moved.reads, best[2][name].reads), pick(moved.writes, best[2][name].writes))
            for name, moved in other[2].items()
        }
        best = compute, pick(other[1], best[1]), sram
    return best[0], best[1], dict(best[2])


def _vector(stage: Stage, machine: Accelerator, batch: int, beside: Reals) -> tuple[Reals, Reals]:
    """Cycles of the vector unit, and those of them that do not fit `beside` the arrays."""
    unit = machine.vector
    rows, rest = (
        np.asarray(sum(count * unit.cycles[action.kind] for action, count in actions.items()) * batch / unit.lanes)
        for actions in (stage.by_rows, stage.elementwise)
    )
    if unit.overlap == "all":
        return rows + rest, np.maximum(0.0, rows + rest - beside)
    if unit.overlap == "elementwise":
        return rows + rest, rows + np.maximum(0.0, rest - beside)
    return rows + rest, rows + rest
