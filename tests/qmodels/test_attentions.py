"""What an attention becomes, and which are refused."""

import copy

import pytest
import torch
from torch import nn

from hwsim.errors import IllegalModel
from qmodels import attentions, torchvision_shim  # noqa: F401 - before timm
from qmodels.layers.irm import Irm
from qmodels.layers.quant_attention import QuantAttention
from qmodels.layers.quant_linear import QuantLinear
from qmodels.layers.quant_matmul import QuantMatMul
from qmodels.layers.quant_products import ATTENTIONS, QuantProducts, aside, insert
from qmodels.methods.lsq import LSQ
from qmodels.methods.qvit import QVIT
from qmodels.quantizers.lsq import Lsq

# isort: split
from timm.layers import Attention, AttentionRope, DiffAttention, set_fused_attn
from timm.models.eva import EvaAttention


class CrossAttention(nn.Module):
    """Nobody knows it."""


@pytest.fixture(autouse=True)
def _plain():
    set_fused_attn(False)


def _quantized(attention, method=LSQ, bits=4):
    widths = {f"blocks.0.attn.{product}": (bits, bits) for product in ("qk", "av")}
    return attentions.quantized("blocks.0.attn", attention, widths, method)


def test_an_attention_of_an_unknown_class_is_refused():
    with pytest.raises(IllegalModel) as caught:
        _quantized(CrossAttention())
    assert str(caught.value) == (
        f"blocks.0.attn: an attention must be of a class that is known, got {__name__}.CrossAttention; where it "
        "multiplies twice, q k^T and A v, add it to qmodels/layers/quant_products.py"
    )


def test_what_is_no_attention_stays():
    assert _quantized(nn.Linear(3, 3)) is None


def test_a_gate_or_a_norm_behind_makes_no_plain_attention():
    assert isinstance(_quantized(Attention(16, 2)), QuantAttention)
    for options in ({"gated": True}, {"scale_norm": True, "norm_layer": nn.LayerNorm}):
        assert isinstance(_quantized(Attention(16, 2, **options)), QuantProducts)


def test_irm_takes_the_place_of_no_norm_alone():
    attention = _quantized(AttentionRope(16, 2), QVIT)
    assert isinstance(attention.q_norm, Irm)
    assert isinstance(attention.k_norm, Irm)
    assert attention.qk.a_quantizer.scale.shape == (2,)
    assert isinstance(_quantized(AttentionRope(16, 2), QVIT, bits=32).q_norm, nn.Identity)
    with pytest.raises(IllegalModel) as caught:
        _quantized(AttentionRope(16, 2, qk_norm=True, norm_layer=nn.LayerNorm), QVIT)
    assert str(caught.value) == (
        "blocks.0.attn: IRM needs q and k without a norm of their own, got one; choose method lsq"
    )


def test_maps_that_are_taken_off_each_other_have_twice_as_many_heads():
    attention = _quantized(DiffAttention(16, 2, norm_layer=nn.LayerNorm), QVIT)
    assert attention.qk.a_quantizer.scale.shape == attention.qk.b_quantizer.scale.shape == (4,)
    assert attention.av.a_quantizer.scale.shape == attention.av.b_quantizer.scale.shape == (2,)
    assert attention(torch.randn(3, 5, 16)).isfinite().all()


def test_of_positions():
    assert attentions.of_positions("layers.0.blocks.1.attn.cpb_mlp.0")
    assert attentions.of_positions("blocks.0.attn.rel_pos.mlp.fc1")
    assert not attentions.of_positions("blocks.0.mlp.fc1")


class _Loud(nn.Module):
    """A product whose factors are seen."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, a, b):
        self.seen.append((tuple(a.shape), tuple(b.shape)))
        return torch.matmul(a, b)


@pytest.mark.parametrize("kind", [kind for kind in ATTENTIONS if kind in (Attention, AttentionRope, EvaAttention)])
def test_products_are_q_k_and_then_a_v_and_nothing_else_changes(kind):
    torch.manual_seed(0)
    attention, x = kind(16, 2, norm_layer=nn.LayerNorm).eval(), torch.randn(3, 5, 16)
    inserted = insert(copy.deepcopy(attention), _Loud(), _Loud())
    assert isinstance(inserted, kind)
    with torch.no_grad():
        assert torch.equal(inserted(x), attention(x))
    assert inserted.qk.seen == [((3, 2, 5, 8), (3, 2, 8, 5))]
    assert inserted.av.seen == [((3, 2, 5, 5), (3, 2, 5, 8))]


def test_a_weight_taken_alone_goes_through_its_quantizers():
    torch.manual_seed(0)
    attention, x = EvaAttention(16, 2, norm_layer=nn.LayerNorm).eval(), torch.randn(3, 5, 16)
    nn.init.normal_(attention.q_bias)
    quantizers = (
        Lsq(2, signed=True, axis=None, size=1, batched=True),
        Lsq(2, signed=True, axis=0, size=48, batched=False),
    )
    exact = copy.deepcopy(attention)
    exact.qkv.weight.data = quantizers[1](attention.qkv.weight).detach()
    attention.qkv = QuantLinear(attention.qkv, *quantizers)
    inserted = insert(attention, QuantMatMul(nn.Identity(), nn.Identity()), QuantMatMul(nn.Identity(), nn.Identity()))
    with torch.no_grad():
        assert torch.equal(inserted.eval()(x), exact(quantizers[0](x)))
        seen = []
        inserted.qkv.register_forward_pre_hook(lambda module, inputs, more: seen.append(more["bias"]), with_kwargs=True)
        parts = torch.cat((exact.q_bias, exact.k_bias, exact.v_bias))
        inserted.qkv.bias = nn.Parameter(torch.randn(48))  # of a method that corrects biases: both are added
        exact.q_bias.data, exact.k_bias, exact.v_bias.data = (parts + inserted.qkv.bias).chunk(3)
        assert torch.equal(inserted(x), exact(quantizers[0](x)))
        assert torch.equal(seen[0], parts)


def test_who_looks_on_aside_multiplies_for_itself():
    torch.manual_seed(0)
    x, seen = torch.randn(3, 5, 16), []
    attention = insert(AttentionRope(16, 2).eval(), _Loud(), _Loud())

    def look(module, inputs):
        with aside(attention):
            seen.append(torch.matmul(x[0, :2], x[0].mT) @ x[0])

    wanted = attention(x)
    with aside(attention), pytest.raises(IllegalModel, match=r"must multiply twice, q k\^T and A v, got 0; "):
        attention(x)
    attention.proj.register_forward_pre_hook(look)
    attention.qkv.register_forward_pre_hook(look)
    assert torch.equal(attention(x), wanted)
    assert torch.equal(seen[0], x[0, :2] @ x[0].mT @ x[0])
    assert len(seen) == 2
    assert len(attention.qk.seen) == len(attention.av.seen) == 2


def test_a_layer_of_float_weights_that_is_called_whole_quantizes_its_input_once():
    attention, seen = Attention(16, 2, scale_norm=True, norm_layer=nn.LayerNorm), []
    quantizer = Lsq(2, signed=True, axis=None, size=1, batched=True)
    quantizer.register_forward_hook(lambda *_: seen.append(1))
    attention.qkv = QuantLinear(attention.qkv, quantizer, nn.Identity())
    insert(attention, _Loud(), _Loud())(torch.randn(3, 5, 16))
    assert seen == [1]


@pytest.mark.parametrize(("products", "got"), [(1, "1"), (3, "more")])
def test_two_products_are_wanted(products, got):
    class Chain(nn.Module):
        def forward(self, x):
            for _ in range(products):
                x = x @ x
            return x

    with pytest.raises(IllegalModel) as caught:
        insert(Chain(), _Loud(), _Loud())(torch.ones(2, 3, 3))
    assert str(caught.value) == (
        f"attention: QuantChain must multiply twice, q k^T and A v, got {got}; write a layer of its own, as "
        "qmodels/layers/quant_attention.py"
    )
