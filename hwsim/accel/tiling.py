"""Traffic to DRAM of one stage: how a product is cut into tiles that fit the buffers, and what is fetched again for it.

Each buffer holds a tile, half of it where it is double-buffered (the other half is filled meanwhile). Of three loop
orders the one with the least traffic is taken, tiles being as large as the buffers allow, over the whole of K:

    weights stay       a tile of tn columns of weights, past which all activations go: A is fetched ceil(N/tn) times
    activations stay   a tile of tm rows of activations, past which all weights go: W is fetched ceil(M/tm) times
    sums stay          a tile of tm x tn sums, operands pass along K: A ceil(N/tn) times, W ceil(M/tm) times, where
                       tm tn fill the buffer of outputs in the proportion that moves least: tm/tn = w/a, their bits

An operand that fits its buffer whole is fetched once in any order. Outputs are written once: sums stay on chip until
they are whole. This is a bound that a good mapper reaches but for its tiles' edges; all in closed form, so that many
buffers are priced at once. The product can begin when the operands of the first fold are there, and its last outputs
leave after its end: `first` and `last`.
"""

from dataclasses import dataclass

import numpy as np

from hwsim.accel.compute import Reals
from hwsim.accel.parts import Buffer, Buffers
from hwsim.op import Gemm

ACCUMULATOR_BITS = 32


@dataclass(frozen=True, slots=True, eq=False)
class Fetched:
    """How often each operand of a product is fetched from DRAM (1: once)."""

    a: Reals
    b: Reals


def stored_bits(bits: int, buffer: Buffer, packing: str) -> Reals:
    """Bits that one word of `bits` takes in lines of the buffer's port: dense, whole words in a line, or powers of two."""
    if packing == "power_of_two":
        bits = 1 << (bits - 1).bit_length()
    if packing == "dense":
        return np.asarray(float(bits))
    line = np.asarray(buffer.port_bits, dtype=np.float64)
    return np.where(line >= bits, line / np.maximum(1, line // bits), -(-bits // line) * line)


def usable_bits(buffer: Buffer) -> Reals:
    """Bits of a tile that the buffer can hold."""
    return np.asarray(buffer.kib, dtype=np.float64) * 8192 / (2 if buffer.double_buffered else 1)


def fetched(gemm: Gemm, buffers: Buffers, a_free: Reals, b_free: Reals, a_elements: float) -> Fetched:
    """How often the operands of one product of `gemm` are fetched; those that are `free` (1, else 0) lie on chip.

    a_elements: of its left operand, which are fewer than M K where windows of a convolution overlap.
    """
    a_bits = stored_bits(gemm.a_bits, buffers.activations, buffers.packing)
    b_bits = stored_bits(gemm.b_bits, buffers.weights, buffers.packing)
    a_room, b_room = usable_bits(buffers.activations), usable_bits(buffers.weights)
    once_a = (a_elements * a_bits <= a_room) | (a_free > 0)
    once_b = (gemm.k * gemm.n * b_bits <= b_room) | (b_free > 0)
    a_size = a_elements * a_bits * (1 - a_free)
    b_size = gemm.k * gemm.n * b_bits * (1 - b_free)
    sums = np.maximum(1.0, usable_bits(buffers.outputs) // ACCUMULATOR_BITS)
    tall = np.clip(np.sqrt(sums * b_bits / a_bits), 1, gemm.m)
    wide = np.clip(sums / tall, 1, gemm.n)
    tall = np.clip(sums / wide, 1, gemm.m)
    orders = (
        (_times(gemm.n, b_room // (gemm.k * b_bits)), np.asarray(1.0)),
        (np.asarray(1.0), _times(gemm.m, a_room // (gemm.k * a_bits))),
        (_times(gemm.n, np.floor(wide)), _times(gemm.m, np.floor(tall))),
    )
    best: tuple[Reals, Reals, Reals] | None = None
    for again_a, again_b in orders:
        a, b = np.where(once_a, 1.0, again_a), np.where(once_b, 1.0, again_b)
        total = a * a_size + b * b_size
        if best is None:
            best = total, a, b
        else:
            less = total < best[0]
            best = np.where(less, total, best[0]), np.where(less, a, best[1]), np.where(less, b, best[2])
    assert best is not None
    return Fetched(best[1], best[2])


def _times(size: int, tile: Reals) -> Reals:
    """Tiles that cover `size`; infinitely many where not even one row fits."""
    with np.errstate(divide="ignore"):
        return np.where(tile >= 1, np.ceil(size / tile), np.inf)
