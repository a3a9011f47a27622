import pytest

from hwsim.cost.groups import group_of, role_of
from hwsim.op import Op
from hwsim.ops.add import Add
from hwsim.ops.conv2d import Conv2d
from hwsim.ops.gelu import Gelu
from hwsim.ops.layernorm import LayerNorm
from hwsim.ops.linear import Linear
from hwsim.ops.matmul import MatMul
from hwsim.ops.reshape import Reshape
from hwsim.ops.rmsnorm import RmsNorm
from hwsim.spec import TensorSpec

TOKENS = TensorSpec((1, 5, 6))
LOGITS = TensorSpec((1, 7))
CONSTANT = TensorSpec((1, 5, 6), batched=False)


@pytest.mark.parametrize(
    ("name", "op", "group"),
    [
        ("patch_embed.proj", Conv2d(), "patch_embed"),
        ("blocks.0.attn.qkv", Linear(), "qkv"),
        ("blocks.0.attn.qk", MatMul(), "qk"),
        ("layers.2.blocks.5.attn.av", MatMul(), "av"),
        ("blocks.11.attn.proj", Linear(), "proj"),
        ("layers.0.blocks.1.mlp.fc1", Linear(), "fc1"),
        ("blocks.3.mlp.fc2", Linear(), "fc2"),
        ("layers.1.downsample.reduction", Linear(), "downsample"),
        ("head", Linear(), "head"),
        ("head_dist", Linear(), "head"),
        ("head.fc", Linear(), "head"),
        ("fc", Linear(), "head"),
        ("blocks.0.attn.matmul", MatMul(), "other"),
        ("conv1", Conv2d(), "patch_embed"),
        ("patch_embed.backbone.stem.conv", Conv2d(), "patch_embed"),
        ("layer1.0.conv1", Conv2d(), "conv"),
        ("layer2.0.downsample.0", Conv2d(), "conv"),
        ("layer2.0.se.fc1", Conv2d(), "conv"),
        ("blocks.0.attn.qkv_3", Linear(), "qkv"),  # of groups of channels
        ("blocks.0.mlp.fc1_11", Linear(), "fc1"),
        ("blocks.0.mlp.other_1", Linear(), "other"),
        ("classifier", Linear(), "head"),
        ("layers.1.downsample.norm", LayerNorm(), "elementwise"),
        ("blocks.0.attn.proj.bias", Add(), "elementwise"),
        ("blocks.0.mlp.act.gelu", Gelu(), "elementwise"),
    ],
)
def test_groups(name: str, op: Op, group: str) -> None:
    assert group_of(name, op) == group


@pytest.mark.parametrize(
    ("name", "op", "inputs", "role"),
    [
        ("head", Linear(), (LOGITS, CONSTANT), "product"),
        ("blocks.0.norm1", LayerNorm(), (TOKENS,), "layernorm"),
        ("blocks.0.attn.k_norm", LayerNorm(), (TOKENS,), "qk_norm"),
        ("head.bias", Add(), (LOGITS, CONSTANT), "bias"),
        ("blocks.0.add_1", Add(), (TOKENS, TOKENS), "residual"),
        ("blocks.0.attn.qkv.add_1", Add(), (TOKENS, TOKENS), "add"),  # of partial products
        ("add", Add(), (TOKENS, CONSTANT), "add"),  # position embedding
        ("add_1", Add(), (LOGITS, LOGITS), "add"),  # sum of two heads
        ("blocks.0.attn.reshape", Reshape((1, 30)), (TOKENS,), "view"),
        ("blocks.0.mlp.act.gelu", Gelu(), (TOKENS,), "gelu"),
    ],
)
def test_roles(name: str, op: Op, inputs: tuple[TensorSpec, ...], role: str) -> None:
    assert role_of(name, op, inputs) == role


def test_norms_on_q_and_k_that_no_method_added_are_the_models_own() -> None:
    assert role_of("blocks.0.attn.k_norm", LayerNorm(), (TOKENS,), rectified=False) == "layernorm"
    assert role_of("blocks.0.attn.k_norm", RmsNorm(), (TOKENS,), rectified=False) == "layernorm"
