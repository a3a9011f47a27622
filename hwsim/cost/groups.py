"""Which group of layers a node belongs to, and what kind of work it is, read from its name and its operator.

Names are module paths as the tracer writes them: a product carries its module's path (`blocks.0.attn.qkv`), a bias is an
Add called `<path>.bias`, a norm carries its module's path (`layers.1.downsample.norm`). A layer of groups of channels has
several products, `<path>`, `<path>_1`, ..., and Adds `<path>.add`, ... of them.
"""

import re
from collections.abc import Sequence

from hwsim.graph import op_name
from hwsim.op import Op
from hwsim.spec import TensorSpec

ENDS = ("patch_embed", "head")
ATTENTION = ("qk", "av")
GROUPS = ("patch_embed", "conv", "qkv", "qk", "av", "proj", "fc1", "fc2", "downsample", "head", "other", "elementwise")
"""All groups, in the order in which a network runs through them: `patch_embed` is what reads the image, a ViT's patch
embedding or the first convolution of another network, both in a hybrid; `downsample` is the merging of patches; `conv` are
the convolutions and `other` the products that no rule names."""

VIEWS = ("reshape", "transpose", "slice")
"""Operators that move no data: their value is another look at the operand's."""

_HEADS = ("head", "head_dist", "fc", "classifier")  # DeiT's two heads, and the last layer of a pooling head (`head.fc`)
_FIRST = (  # what timm's configurations call the first convolution (`first_conv`), of the models that have no patch_embed
    *("conv1", "conv1.0", "conv_stem", "stem.0", "stem.0.conv", "stem.conv", "stem.conv1", "stem.conv1.conv"),
    *("patch_embed.backbone.conv", "patch_embed.backbone.conv1.0", "patch_embed.backbone.0.conv"),
    *("patch_embed.backbone.stem.conv", "patch_embed.backbone.stem.conv1"),
)
_LAYERS = {  # other names that timm has for the layers of a block
    **{name: name for name in ("qkv", "qk", "av", "proj", "fc1", "fc2")},
    **dict.fromkeys(("q", "k", "v", "kv", "q_proj", "k_proj", "v_proj"), "qkv"),
    **dict.fromkeys(("fc1_g", "fc1_x", "w1", "w2", "w12"), "fc1"),
    "w3": "fc2",
    "attn_out_proj": "proj",
    "mlp_out_proj": "fc2",
}
_REPEATED = re.compile(r"_\d+$")
"""What the tracer adds to names that there are already."""
_WEIGHED_AS = {"gelutanh": "gelu", "rmsnorm": "layernorm", "groupnorm": "layernorm"}
"""Operators whose elements conventions weigh as those of another: a GELU by another formula, norms over other elements."""
_QK_NORMS = ("q_norm", "k_norm")  # Q-ViT's information rectification (arXiv 2210.06707, eq. 7)


def group_of(name: str, op: Op) -> str:
    """The group of the node `name`: by its module path where it is a product, `elementwise` where it is not."""
    if type(op).gemm is Op.gemm:
        return "elementwise"
    parent, _, last = name.rpartition(".")
    plain = _REPEATED.sub("", last)
    if name in _FIRST or parent.endswith("patch_embed"):
        return "patch_embed"
    if parent.endswith("downsample") and op_name(op) != "conv2d":
        return "downsample"
    if plain in _LAYERS and not parent.endswith("se"):
        return _LAYERS[plain]
    if last in _HEADS:
        return "head"
    return "conv" if op_name(op) == "conv2d" else "other"


def role_of(name: str, op: Op, inputs: Sequence[TensorSpec], rectified: bool = True) -> str:
    """What the node does: `product`, `bias`, `residual`, `qk_norm`, `view`, or the name of its operator, or of the float
    operator that it stands for.

    A `qk_norm` is one that a method added (`rectified`); where the model has norms on q and k itself, they are its own.
    A residual is the sum of two activations that still have a token axis (the mean of two heads is not one), but for the sum
    of a layer's partial products.
    """
    kind, (parent, _, last) = op.stands_for or op_name(op), name.rpartition(".")
    kind = _WEIGHED_AS.get(kind, kind)
    if group_of(name, op) != "elementwise":
        return "product"
    if kind == "layernorm" and last in _QK_NORMS and rectified:
        return "qk_norm"
    if kind == "add" and last == "bias":
        return "bias"
    partial = parent.rpartition(".")[2] in _LAYERS
    if kind == "add" and not partial and all(spec.batched and len(spec.shape) > 2 for spec in inputs):
        return "residual"
    return "view" if kind in VIEWS else kind
