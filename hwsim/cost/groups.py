"""Which group of layers a node belongs to, and what kind of work it is, read from its name and its operator.

Names are module paths as the tracer writes them: a product carries its module's path (`blocks.0.attn.qkv`), a bias is an
Add called `<path>.bias`, a norm carries its module's path (`layers.1.downsample.norm`).
"""

from collections.abc import Sequence

from hwsim.graph import op_name
from hwsim.op import Op
from hwsim.spec import TensorSpec

ENDS = ("patch_embed", "head")
ATTENTION = ("qk", "av")
GROUPS = ("patch_embed", "qkv", "qk", "av", "proj", "fc1", "fc2", "downsample", "head", "other", "elementwise")
"""All groups, in the order in which a network runs through them; `other` are products that no rule names."""

VIEWS = ("reshape", "transpose", "slice")
"""Operators that move no data: their value is another look at the operand's."""

_HEADS = ("head", "head_dist", "fc")  # timm: DeiT's two heads, and the last layer of a pooling head (`head.fc`)
_QK_NORMS = ("q_norm", "k_norm")  # Q-ViT's information rectification (arXiv 2210.06707, eq. 7)


def group_of(name: str, op: Op) -> str:
    """The group of the node `name`: by its module path where it is a product, `elementwise` where it is not."""
    if type(op).gemm is Op.gemm:
        return "elementwise"
    parent, _, last = name.rpartition(".")
    if parent.endswith("patch_embed"):
        return "patch_embed"
    if parent.endswith("downsample"):
        return "downsample"
    if last in ("qkv", "qk", "av", "proj", "fc1", "fc2"):
        return last
    return "head" if last in _HEADS else "other"


def role_of(name: str, op: Op, inputs: Sequence[TensorSpec]) -> str:
    """What the node does: `product`, `bias`, `residual`, `qk_norm`, `view`, or the name of its operator, or of the float
    operator that it stands for.

    A residual is the sum of two activations that still have a token axis (the mean of two heads is not one).
    """
    kind, last = op.stands_for or op_name(op), name.rpartition(".")[2]
    if group_of(name, op) != "elementwise":
        return "product"
    if kind == "layernorm" and last in _QK_NORMS:
        return "qk_norm"
    if kind == "add" and last == "bias":
        return "bias"
    if kind == "add" and all(spec.batched and len(spec.shape) > 2 for spec in inputs):
        return "residual"
    return "view" if kind in VIEWS else kind
