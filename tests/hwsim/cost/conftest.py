"""Rows of work to price: of traced models, each traced once per session, and of graphs small enough to count by hand."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from hwsim.cost.memory import Peak, peak_activations
from hwsim.cost.work import Rows, Work, work
from hwsim.graph import Graph, Node, build
from hwsim.ops.add import Add
from hwsim.ops.dequantize import Dequantize
from hwsim.ops.layernorm import LayerNorm
from hwsim.ops.linear import Linear
from hwsim.ops.matmul import MatMul
from hwsim.ops.quantize import Quantize
from hwsim.ops.reshape import Reshape
from hwsim.ops.softmax import Softmax
from hwsim.ops.transpose import Transpose
from hwsim.spec import QuantSpec, TensorSpec

MODELS = {
    "DeiT-T": "deit_tiny_patch16_224",
    "DeiT-S": "deit_small_patch16_224",
    "DeiT-B": "deit_base_patch16_224",
    "DeiT-T-dist": "deit_tiny_distilled_patch16_224",
    "DeiT-S-dist": "deit_small_distilled_patch16_224",
    "DeiT-B-dist": "deit_base_distilled_patch16_224",
    "Swin-T": "swin_tiny_patch4_window7_224",
    "Swin-S": "swin_small_patch4_window7_224",
}


@pytest.fixture(scope="session")
def labels() -> dict[str, str]:
    """timm's names by the papers' labels."""
    return MODELS


@dataclass(frozen=True)
class Traced:
    rows: tuple[Work, ...]
    peak: Peak


DEPTH = 12
ONE_BLOCK = ("DeiT-B", "DeiT-T-dist", "DeiT-B-dist")


def deepened(rows: Rows, depth: int = DEPTH) -> tuple[Work, ...]:
    """Rows of a DeiT of one block as those of `depth` equal blocks."""
    first = [row for row in rows if row.node.startswith("blocks.0.")]
    at = rows.index(first[0])
    blocks = (
        dataclasses.replace(
            row,
            node=row.node.replace("blocks.0.", f"blocks.{i}."),
            serves=row.serves.replace("blocks.0.", f"blocks.{i}."),
        )
        for i in range(depth)
        for row in first
    )
    return (*rows[:at], *blocks, *rows[at + len(first) :])


@pytest.fixture(scope="session")
def from_one_block(traced: Callable[..., Traced]) -> Callable[[str], tuple[Work, ...]]:
    """Rows of a DeiT by its label, by repeating the one block that is traced."""
    return lambda label: deepened(traced(label, depth=1).rows)


@pytest.fixture(scope="session")
def traced() -> Callable[..., Traced]:
    """Rows and peak of a model by its label, traced at W4A4 with Q-ViT's method when first asked for.

    Weight scales stay at 1: searching them takes longer than all the rest, and costs do not depend on them. For the
    same reason, time, the models of ONE_BLOCK are traced with one block, which is then repeated; a test shows that this
    is what tracing all of it gives.
    """
    torch = pytest.importorskip("torch")
    from qmodels import models, tracing
    from qmodels.quantizers.lsq import Lsq
    from workloads.bits import Bits

    cache: dict[tuple[str, int], Traced] = {}

    def get(label: str, depth: int = 0) -> Traced:
        if label in ONE_BLOCK and not depth:
            whole = get(label, 1)
            return Traced(deepened(whole.rows), whole.peak)
        if (label, depth) not in cache:
            changes = {"depth": depth} if depth else {}
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Lsq, "initialise", lambda self, x: None)
                patch.setattr(torch.nn.init, "_no_grad_trunc_normal_", lambda tensor, *_, **__: tensor)
                model = models.quantize(models.create(MODELS[label], **changes), Bits(4, 4), "qvit").eval()
            graph = tracing.trace(model, torch.zeros(1, 3, 224, 224), MODELS[label])
            cache[label, depth] = Traced(work(graph), peak_activations(graph))
        return cache[label, depth]

    return get


def without_irm(rows: Rows) -> tuple[Work, ...]:
    """The rows of the published model: without the norms that IRM puts on q and k, and their parameters."""
    return tuple(row for row in rows if row.role != "qk_norm")


@pytest.fixture(scope="session")
def plain(traced: Callable[[str], Traced]) -> Callable[[str], tuple[Work, ...]]:
    """Rows of a model by its label, without Q-ViT's norms on q and k."""
    return lambda label: without_irm(traced(label).rows)


def attention_block(bits: int = 4, ends: int = 8) -> Graph:
    """A network small enough to count by hand: 5 tokens, 2 heads of 3 channels, classes 7; LayerNorm, qkv without its
    bias, QK^T, softmax, AV, proj with bias, residual, head."""
    tokens, heads, dim, classes = 5, 2, 3, 7
    width = heads * dim

    def codes(rows: int, columns: int, width_bits: int) -> tuple[np.ndarray, TensorSpec]:
        spec = TensorSpec((rows, columns), QuantSpec(width_bits, True, (0.5,)), batched=False)
        return np.zeros((rows, columns), np.int8), spec

    def floats(*shape: int) -> tuple[np.ndarray, TensorSpec]:
        return np.zeros(shape, np.float32), TensorSpec(shape, batched=False)

    grid, end = QuantSpec(bits, False, (0.5,), (1,)), QuantSpec(ends, False, (0.5,), (1,))
    norm, attn = "blocks.0.norm1", "blocks.0.attn"
    constants = {
        f"{norm}.weight": floats(width),
        f"{norm}.bias": floats(width),
        f"{attn}.q.weight": codes(width, width, bits),
        f"{attn}.proj.weight": codes(width, width, bits),
        f"{attn}.proj.bias.value": floats(width),
        "head.weight": codes(classes, width, ends),
    }
    nodes = [
        Node(norm, LayerNorm(), ("x", f"{norm}.weight", f"{norm}.bias")),
        Node(f"{attn}.qkv.input", Quantize(grid), (norm,)),
        Node(f"{attn}.qkv", Linear(), (f"{attn}.qkv.input", f"{attn}.q.weight")),
        Node(f"{attn}.qkv.dequantize", Dequantize(), (f"{attn}.qkv",)),
        Node(f"{attn}.reshape", Reshape((1, tokens, heads, dim)), (f"{attn}.qkv.dequantize",)),
        Node(f"{attn}.transpose", Transpose((0, 2, 1, 3)), (f"{attn}.reshape",)),
        Node(f"{attn}.transpose_1", Transpose((0, 1, 3, 2)), (f"{attn}.transpose",)),
        Node(f"{attn}.qk.a", Quantize(grid), (f"{attn}.transpose",)),
        Node(f"{attn}.qk.b", Quantize(grid), (f"{attn}.transpose_1",)),
        Node(f"{attn}.qk", MatMul(), (f"{attn}.qk.a", f"{attn}.qk.b")),
        Node(f"{attn}.qk.dequantize", Dequantize(), (f"{attn}.qk",)),
        Node(f"{attn}.softmax", Softmax(), (f"{attn}.qk.dequantize",)),
        Node(f"{attn}.av.a", Quantize(dataclasses.replace(grid, zero_point=(0,))), (f"{attn}.softmax",)),
        Node(f"{attn}.av.b", Quantize(grid), (f"{attn}.transpose",)),
        Node(f"{attn}.av", MatMul(), (f"{attn}.av.a", f"{attn}.av.b")),
        Node(f"{attn}.av.dequantize", Dequantize(), (f"{attn}.av",)),
        Node(f"{attn}.transpose_2", Transpose((0, 2, 1, 3)), (f"{attn}.av.dequantize",)),
        Node(f"{attn}.reshape_1", Reshape((1, tokens, width)), (f"{attn}.transpose_2",)),
        Node(f"{attn}.proj.input", Quantize(grid), (f"{attn}.reshape_1",)),
        Node(f"{attn}.proj", Linear(), (f"{attn}.proj.input", f"{attn}.proj.weight")),
        Node(f"{attn}.proj.dequantize", Dequantize(), (f"{attn}.proj",)),
        Node(f"{attn}.proj.bias", Add(), (f"{attn}.proj.dequantize", f"{attn}.proj.bias.value")),
        Node("blocks.0.add", Add(), ("x", f"{attn}.proj.bias")),
        Node("head.input", Quantize(end), ("blocks.0.add",)),
        Node("head", Linear(), ("head.input", "head.weight")),
        Node("head.dequantize", Dequantize(), ("head",)),
    ]
    return build("block", {"x": TensorSpec((1, tokens, width))}, constants, nodes, ["head.dequantize"])


@pytest.fixture
def block() -> Graph:
    return attention_block()


@pytest.fixture
def block_at() -> Callable[..., Graph]:
    return attention_block
