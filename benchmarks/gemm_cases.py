"""Part `gemm`: products of DeiT-S's shapes on every tier, in GMAC/s per core-second and as a share of the measured peak.

Beside them torch.mm in float32, torch._int_mm (s8 x s8), ONNX Runtime's MatMulInteger (u8 x s8) and NumPy in float32. Rows
named `fused` requantize to bytes, `sums` keep int32. Weights are packed beforehand, as they are in a model; both
operands of an attention product are made at run time, so packing is inside of its timing. A share can exceed 100 % where a
tier saves multiplications (pairs of products, hwsim/kernels/simd/tiles.py).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pairs
from pairs import Case, Result, Say
from worker import Skip

WEIGHTS = {"qkv": (384, 1152), "proj": (384, 384), "fc1": (384, 1536), "fc2": (1536, 384)}
HEIGHTS = (197, 788, 6304)
SHAPES = {f"{layer} M={m}": (1, m, k, n) for m in HEIGHTS for layer, (k, n) in WEIGHTS.items()} | {
    "6 heads QK'": (6, 197, 64, 197),
    "6 heads AV": (6, 197, 197, 64),
}
LEAST_MACS = 4e9
"""Work of one timed run: small products are repeated."""

OTHERS = ("torch mm float32", "torch _int_mm s8s8", "ORT MatMulInteger u8s8", "numpy float32")
Shape = tuple[int, int, int, int]
Call = Callable[[], object]


def repeats(shape: Shape) -> int:
    """How often a product of (G, M, K, N) runs in one timing."""
    return math.ceil(LEAST_MACS / math.prod(shape))


def again(call: Call, times: int) -> Call:
    """`call`, so many times."""

    def repeated() -> None:
        for _ in range(times):
            call()

    return repeated


def peak(tier: str) -> Call:
    """The tier's instruction on registers; the note is its multiply-accumulates."""
    import peak as probe

    call, macs = probe.macs_per_call(tier)

    def noted() -> object:
        return call()

    noted.note = str(macs)  # type: ignore[attr-defined]
    return noted


def operands(shape: Shape, half: int) -> tuple[Any, Any]:
    """Random codes -half .. half - 1: (G, M, K), and (G, K, N), which is a transposed view in QK', as it is in a model."""
    groups, m, k, n = shape
    generator = np.random.default_rng(0)
    left = generator.integers(-half, half, (groups, m, k)).astype(np.int8)
    if shape == SHAPES["6 heads QK'"]:
        return left, generator.integers(-half, half, (groups, n, k)).astype(np.int8).transpose(0, 2, 1)
    return left, generator.integers(-half, half, (groups, k, n)).astype(np.int8)


def finish_of(columns: int, depth: int, half: int) -> Any:
    """Requantization to codes -half .. half - 1 that are spread over their range; one multiplier per column."""
    from hwsim.kernels.tier import Finish

    right = np.full((1, columns), round(math.log2(half * math.sqrt(depth))) - 2, np.int32)
    multiplier = np.random.default_rng(0).integers(1 << 30, (1 << 31) - 1, right.shape).astype(np.int32)
    nothing = np.zeros_like(right)
    arrays = (nothing, multiplier, np.int64(1) << (right.astype(np.int64) + 31), right, nothing)
    return Finish.of(columns, arrays, -half, half - 1, False, np.dtype(np.int8))


def ours(tier: str, shape: Shape, bits: int, fused: bool) -> Call:
    """A tier's product; `shape` (G, M, K, N)."""
    from hwsim.kernels.choose import named
    from hwsim.kernels.memory import empty
    from hwsim.kernels.tier import Grid

    groups, _, k, n = shape
    used = named(tier)
    half = 1 << (bits - 1)
    codes, right = operands(tuple(shape), half)  # type: ignore[arg-type]
    left = empty(codes.shape, codes.dtype)
    left[...] = codes
    grid = Grid(-half, half - 1, np.zeros((1, 1), np.int64))
    if not used.takes(grid, grid, k):
        raise Skip(f"{tier} does not take {bits} by {bits} bits")
    finish = finish_of(n, k, half) if fused else None
    packed = used.pack(right, grid, grid)
    if groups == 1:
        return again(lambda: used.product(left, grid, packed, finish), repeats(shape))
    return again(lambda: used.product(left, grid, used.pack(right, grid, grid), finish), repeats(shape))


def other(engine: str, shape: Shape) -> Call:
    """One of OTHERS."""
    groups, m, _, n = shape
    left, right = operands(tuple(shape), 8)  # type: ignore[arg-type]
    call: Call
    if engine.startswith("numpy"):
        a, b = left.astype(np.float32), right.astype(np.float32)
        out = np.empty((groups, m, n), np.float32)
        call = lambda: np.matmul(a, b, out=out)  # noqa: E731
    elif engine.startswith("ORT"):
        call = _onnx_product((left + 8).astype(np.uint8), right.astype(np.int8))
    else:
        call = _torch_product(engine, left, right)
    return again(call, repeats(shape))


def _torch_product(engine: str, left: Any, right: Any) -> Call:
    import torch

    torch.set_num_threads(1)
    if "_int_mm" not in engine:
        x, y = torch.from_numpy(left).float(), torch.from_numpy(right).float()
        result = torch.empty(x.shape[0], x.shape[1], y.shape[2])
        return lambda: torch.matmul(x, y, out=result)
    if len(left) > 1:
        raise Skip("torch._int_mm has no batches")
    p, q = (torch.from_numpy(a[0]).to(torch.int8) for a in (left, right))
    sums = torch.empty(p.shape[0], q.shape[1], dtype=torch.int32)
    return lambda: torch._int_mm(p, q, out=sums)


def _onnx_product(left: Any, right: Any) -> Call:
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper

    inputs = [helper.make_tensor_value_info("a", TensorProto.UINT8, left.shape)]
    output = helper.make_tensor_value_info("c", TensorProto.INT32, (*left.shape[:2], right.shape[2]))
    feeds, constants = {"a": left}, []
    if len(left) > 1:  # both operands at run time, as in attention
        inputs.append(helper.make_tensor_value_info("b", TensorProto.INT8, right.shape))
        feeds["b"] = right
    else:
        constants = [numpy_helper.from_array(right[0], "b")]
    graph = helper.make_graph([helper.make_node("MatMulInteger", ["a", "b"], ["c"])], "g", inputs, [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = 1, 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, feeds)


def run_ladder(tiers: Sequence[str], rounds: int, say: Say, shapes: Sequence[str] = tuple(SHAPES)) -> Result:
    """All shapes on all tiers, beside the peaks, which are measured in the same rounds."""
    single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    cases = []
    for tier in tiers:
        environment = {**single, "HWSIM_KERNELS": tier}
        cases.append(Case(f"peak/{tier}", "gemm_cases:peak", {"tier": tier}, tier, environment))
        for shape in shapes:
            for bits in (4, 8):
                for fused in (True, False):
                    arguments = {"tier": tier, "shape": SHAPES[shape], "bits": bits, "fused": fused}
                    kind = "fused" if fused else "sums"
                    cases.append(
                        Case(f"{shape}/{tier} {bits} bit {kind}", "gemm_cases:ours", arguments, tier, environment)
                    )
    for engine in OTHERS:
        for shape in shapes:
            arguments = {"engine": engine, "shape": SHAPES[shape]}
            cases.append(Case(f"{shape}/{engine}", "gemm_cases:other", arguments, engine, single))
    return pairs.run(cases, rounds, warm=1, say=say)


def tables(result: Result) -> dict[str, list[list[str]]]:
    """Of each group of shapes: a row per engine, GMAC/s per core-second, and the share of the tier's peak in percent."""
    peaks = {n.split("/")[1]: n for n in result.times if n.startswith("peak/")}
    rates = [
        [tier, f"{_macs(result, case) / result.times[case].core_seconds / 1e9:.0f}"] for tier, case in peaks.items()
    ]
    made = {"Peak of the tier's instruction": [["", "GMAC/s"], *rates]}
    engines = [*dict.fromkeys(n.split("/")[1] for n in result.times if not n.startswith("peak/"))]
    groups = {f"M = {m}": [s for s in SHAPES if s.endswith(f" M={m}")] for m in HEIGHTS}
    groups["Attention, 6 heads"] = [s for s in SHAPES if "heads" in s]
    for title, shapes in groups.items():
        rows = [["GMAC/s (% of peak)", *(s.removesuffix(f" M={SHAPES[s][1]}") for s in shapes)]]
        rows += [[engine, *(_cell(result, shape, engine, peaks) for shape in shapes)] for engine in engines]
        made[title] = rows
    return made


def _macs(result: Result, case: str) -> float:
    """Multiply-accumulates of one timed run."""
    if case.startswith("peak/"):
        return float(result.times[case].note or 0)
    shape = SHAPES[case.split("/")[0]]
    return repeats(shape) * math.prod(shape)


def _cell(result: Result, shape: str, engine: str, peaks: Mapping[str, str]) -> str:
    case, reference = f"{shape}/{engine}", peaks.get(engine.split()[0])
    if case not in result.times:
        return "-"
    rate = f"{_macs(result, case) / result.times[case].core_seconds / 1e9:.0f}"
    ratio = result.ratio(reference, case) if reference else None
    return (
        rate if ratio is None else f"{rate} ({100 * ratio * _macs(result, case) / _macs(result, str(reference)):.0f})"
    )
