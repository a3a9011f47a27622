"""The integer form of a small graph: nothing float is left, and it computes what the mixed form computes, nearly."""

import numpy as np
import pytest
from lowered import BYTES, THIRDS, WEIGHT, X, linear_graph, lowered, reals

import hwsim
from hwsim.errors import IllegalModel
from hwsim.graph import Node, build
from hwsim.lower import integerize, recipe
from hwsim.lower.recipe import Recipe
from hwsim.lower.report import float_parts, integer_report
from hwsim.ops.add import Add
from hwsim.ops.dequantize import Dequantize
from hwsim.ops.gelu import Gelu
from hwsim.ops.layernorm import LayerNorm
from hwsim.ops.linear import Linear
from hwsim.ops.matmul import MatMul
from hwsim.ops.mean import Mean
from hwsim.ops.mul import Mul
from hwsim.ops.quantize import Quantize
from hwsim.ops.requantize import Requantize
from hwsim.ops.reshape import Reshape
from hwsim.ops.softmax import Softmax
from hwsim.simulator import as_codes, simulate
from hwsim.spec import BipolarSpec, QuantSpec, TensorSpec


@pytest.mark.parametrize("name", recipe.names())
def test_no_float_is_left(mlp, images, name):
    graph = lowered(mlp, name, {"x": images})
    assert float_parts(mlp) != ()
    assert float_parts(graph) == ()
    values = simulate(graph, as_codes(graph, {"x": images}), [n.name for n in graph.nodes])
    assert {value.dtype.kind for value in values.values()} <= set("iu")
    assert graph.meta["form"] == "integer"
    assert graph.meta["recipe"] == name
    assert graph.meta["bits"] == "W4A4"


@pytest.mark.parametrize("name", ["lut", "ibert"])
def test_it_is_near_the_mixed_form(mlp, images, name):
    apart = np.abs(reals(mlp, {"x": images}) - reals(lowered(mlp, name, {"x": images}), {"x": images}))
    assert np.quantile(apart, 0.9) < 0.02  # a 4-bit code that falls to the other side moves some more
    assert apart.mean() < 0.01


def test_codes_of_quantizers_keep_their_names_and_meaning(mlp, images):
    graph = lowered(mlp, "lut", {"x": images}, residual_bits=24)
    for name in ("fc1.x", "fc2.x"):
        assert graph.specs[name] == mlp.specs[name]
    codes, wanted = (simulate(g, as_codes(g, {"x": images}), ["fc1.x"])["fc1.x"] for g in (graph, mlp))
    assert (codes != wanted).mean() < 0.01


def test_it_survives_the_file(mlp, images, tmp_path):
    graph = lowered(mlp, "fqvit", {"x": images})
    hwsim.save(graph, tmp_path / "graph")
    again = hwsim.load(tmp_path / "graph")
    assert str(again) == str(graph)
    np.testing.assert_array_equal(reals(again, {"x": images}), reals(graph, {"x": images}))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("chunk", [1, 5])
def test_no_bit_depends_on_threads_or_chunks(mlp, images, threads, chunk):
    graph = lowered(mlp, "ivit", {"x": images})
    codes = as_codes(graph, {"x": images})
    wanted = simulate(graph, codes)["scores"] if "scores" in graph.outputs else simulate(graph, codes)[graph.outputs[0]]
    got = simulate(graph, codes, threads=threads, chunk=chunk)[graph.outputs[0]]
    np.testing.assert_array_equal(got, wanted)


def test_a_bias_joins_the_requantization_and_is_not_rounded_to_the_accumulator(feeds):
    """Product, bias, quantizer of a coarse grid: the codes are those of the mixed form, but next to a tie."""
    grid = QuantSpec(4, False, (1.0,), (7,))
    tail = [
        Node("z", Add(), ("y", "b")),
        Node("z.codes", Quantize(grid), ("z",)),
        Node("out", Dequantize(), ("z.codes",)),
    ]
    mixed = linear_graph(*tail, outputs=["out"], extra={"b": [0.4999, -0.3, 0.123, 2.7]})
    graph = lowered(mixed, "lut", feeds)
    (node,) = [n for n in graph.nodes if n.name == "z.codes"]
    assert isinstance(node.op, Requantize)
    assert len(node.op.offset) == 4
    assert not [n for n in graph.nodes if isinstance(n.op, Add)]
    codes, wanted = (simulate(g, as_codes(g, feeds), ["z.codes"])["z.codes"] for g in (graph, mixed))
    np.testing.assert_array_equal(codes, wanted)


def test_a_scaling_joins_the_multiplier(feeds):
    grid = QuantSpec(6, True, (0.25,))
    tail = [Node("s", Mul(), ("y", "half")), Node("c", Quantize(grid), ("s",)), Node("out", Dequantize(), ("c",))]
    for half in ([0.125], [0.5, 0.3, 0.7, 2.0]):
        mixed = linear_graph(*tail, outputs=["out"], extra={"half": half})
        graph = lowered(mixed, "lut", feeds)
        assert [type(n.op).__name__ for n in graph.nodes] == ["Linear", "Requantize"]
        codes, wanted = (simulate(g, as_codes(g, feeds), ["c"])["c"] for g in (graph, mixed))
        np.testing.assert_array_equal(codes, wanted)


def test_a_mean_is_a_sum_until_the_next_requantization(feeds):
    grid = QuantSpec(8, True, (0.05,))
    tail = [Node("m", Mean((1,)), ("y",)), Node("c", Quantize(grid), ("m",)), Node("out", Dequantize(), ("c",))]
    mixed = linear_graph(*tail, outputs=["out"])
    graph = lowered(mixed, "lut", feeds, link_bits=24)
    codes, wanted = (simulate(g, as_codes(g, feeds), ["c"])["c"] for g in (graph, mixed))
    assert (codes != wanted).mean() < 0.02
    assert np.abs(codes.astype(int) - wanted).max() <= 1


def test_an_inserted_quantizer_is_named_after_the_value_and_its_grid(feeds):
    grid = QuantSpec(8, False, (0.1,), (10,))
    tail = [Node("act", Gelu(), ("y",)), Node("c", Quantize(grid), ("act",)), Node("out", Dequantize(), ("c",))]
    graph = lowered(linear_graph(*tail, outputs=["out"]), "lut", feeds)
    assert [n.name for n in graph.nodes] == ["acc", "y.gelu", "c"]
    assert graph.specs["y.gelu"].bits == 10
    verdicts = {v.node: v for v in integer_report(graph, as_codes(graph, feeds))}
    assert verdicts["y.gelu"].inserted
    assert (verdicts["c"].kind, verdicts["c"].op) == ("own_definition", "lookup")
    assert 0.04 < verdicts["c"].distance_max <= 0.05  # half a step
    assert verdicts["acc"].kind == "exact"


def test_bipolar_codes_are_made_by_comparison(feeds):
    tail = [Node("c", Quantize(BipolarSpec((0.7,))), ("y",)), Node("out", Dequantize(), ("c",))]
    mixed = linear_graph(*tail, outputs=["out"])
    graph = lowered(mixed, "lut", feeds, link_bits=24)
    assert graph.node("c").inputs == ("y.link",)
    codes, wanted = (simulate(g, as_codes(g, feeds), ["c"])["c"] for g in (graph, mixed))
    assert (codes != wanted).mean() < 0.01


def test_a_wider_residual_is_nearer(mlp, images):
    wanted = reals(mlp, {"x": images})
    apart = [
        np.abs(reals(lowered(mlp, "lut", {"x": images}, residual_bits=bits), {"x": images}) - wanted).mean()
        for bits in (4, 8, 16)
    ]
    assert apart[0] > apart[1] > apart[2]


def test_power_of_two_scales_requantize_by_shifts_alone(mlp, images):
    graph = lowered(mlp, "p2vit", {"x": images})
    requantizes = [n.op for n in graph.nodes if isinstance(n.op, Requantize)]
    assert requantizes
    assert {m.bit_count() for op in requantizes for m in op.multiplier} == {1}
    for spec in graph.specs.values():
        assert {np.frexp(scale)[0] for scale in spec.quant.scale} == {0.5}


def test_a_float_product_is_illegal_and_reported_so(feeds):
    nodes = [Node("t", Reshape((1, 4, 3)), ("x",)), Node("p", MatMul(), ("x", "t"))]
    mixed = build("g", {"x": X}, {}, nodes, ["p"])
    with pytest.raises(IllegalModel) as caught:
        lowered(mixed, "lut", feeds)
    assert str(caught.value) == (
        "p: an integer product needs quantized operands, got (B, 3, 4) float; quantize the model at 8 bits or fewer"
    )
    (verdict,) = [v for v in integer_report(mixed) if v.node == "p"]
    assert (verdict.kind, verdict.detail) == ("illegal", "a product of floats (x, t); quantize them at 8 bits or fewer")


@pytest.mark.parametrize(
    ("tail", "extra", "text"),
    [
        (
            [Node("s", Mul(), ("y", "k"))],
            {"k": [-2.0]},
            "s: a scaling is by positive numbers, got -2; fold its sign into the weights before it",
        ),
        (
            [Node("s", Mul(), ("y", "k"))],
            {"k": [[1.0, 2.0, 3.0, 4.0], [1.0] * 4, [1.0] * 4]},
            "s: a scaling is by one number, or by one per channel, got shape (3, 4); fold it into the weights",
        ),
        (
            [Node("s", Mul(), ("y", "y"))],
            None,
            "s: a scaling is by one constant, got a product of activations; replace it in the model",
        ),
    ],
)
def test_what_has_no_integer_form(feeds, tail, extra, text):
    with pytest.raises(IllegalModel) as caught:
        lowered(linear_graph(*tail, outputs=["s"], extra=extra), "lut", feeds)
    assert str(caught.value) == text


def test_a_recipe_may_be_made_in_python(mlp, images):
    graph = lowered(mlp, Recipe(name="mine", rounding="half_up", multiplier_bits=16), {"x": images})
    ops = [n.op for n in graph.nodes if isinstance(n.op, Requantize)]
    assert {op.rounding for op in ops} == {"half_up"}
    assert all(m.bit_length() <= 16 for op in ops for m in op.multiplier)


def test_the_largest_logit_has_the_largest_code(feeds):
    """Accumulators of classes with scales of their own may not be compared (METHODS 1.3-8); logits of one scale may."""
    weight = np.random.default_rng(1).integers(-128, 128, (4, 4)).astype(np.int8)
    spec = QuantSpec(8, True, (0.001, 0.1, 0.01, 0.03), (0,) * 4, 0)
    nodes = [
        Node("x.codes", Quantize(BYTES), ("x",)),
        Node("head", Linear(), ("x.codes", "w")),
        Node("y", Dequantize(), ("head",)),
    ]
    mixed = build("g", {"x": X}, {"w": (weight, TensorSpec((4, 4), spec, batched=False))}, nodes, ["y"])
    graph = lowered(mixed, "lut", feeds)
    codes = simulate(graph, as_codes(graph, feeds), ["head"])
    wanted = reals(mixed, feeds).argmax(axis=-1)
    assert (codes["head"].argmax(axis=-1) != wanted).any()
    np.testing.assert_array_equal(codes[graph.outputs[0]].argmax(axis=-1), wanted)


TWO = QuantSpec(2, True, (0.3,))


@pytest.mark.parametrize(
    ("name", "nodes", "constants", "rtol"),
    [
        (
            "a scaled softmax",
            [Node("s", Softmax(), ("x",)), Node("m", Mul(), ("s", "three")), Node("q", Quantize(THIRDS), ("m",))],
            {"three": [3.0]},
            0.02,
        ),
        (
            "codes of -1 and 1 on another grid",
            [
                Node("a", Quantize(BipolarSpec((0.5,))), ("x",)),
                Node("b", Dequantize(), ("a",)),
                Node("q", Quantize(TWO), ("b",)),
            ],
            {},
            1e-9,
        ),
        (
            "a scaling along an axis in the middle, then a bias",
            [
                Node("m", Mul(), ("x", "gains")),
                Node("n", Add(), ("m", "shifts")),
                Node("q", Quantize(QuantSpec(8, True, (0.05,))), ("n",)),
            ],
            {"gains": [[0.5], [2.0], [0.1]], "shifts": [[1.0], [-1.0], [0.0]]},
            0.02,
        ),
    ],
)
def test_what_waits_on_a_wire_is_not_lost(feeds, name, nodes, constants, rtol):
    weight = (np.arange(-8, 8).reshape(4, 4).astype(np.int8), TensorSpec((4, 4), WEIGHT, batched=False))
    floats = {key: (np.asarray(v), TensorSpec(np.shape(v), None, batched=False)) for key, v in constants.items()}
    tail = [Node("acc", Linear(), ("q", "w")), Node("y", Dequantize(), ("acc",))]
    mixed = build(name, {"x": X}, {"w": weight, **floats}, [*nodes, *tail], ["y"])
    wanted = reals(mixed, feeds)
    apart = np.abs(reals(lowered(mixed, "lut", feeds), feeds) - wanted)
    assert apart.mean() <= rtol * np.abs(wanted).max() + 2e-4


def test_log_codes_may_not_wait_for_a_scaling(feeds):
    nodes = [Node("s", Softmax(), ("x",)), Node("m", Mul(), ("s", "three")), Node("q", Quantize(THIRDS), ("m",))]
    constants = {"three": (np.array([3.0]), TensorSpec((1,), None, batched=False))}
    mixed = build("g", {"x": X}, constants, nodes, ["q"])
    with pytest.raises(
        IllegalModel, match=r"^q: codes of .* have no one scale to multiply; quantize right behind their"
    ):
        lowered(mixed, "fqvit", feeds)


@pytest.mark.parametrize("masked", [-100.0, -1e9])
def test_a_mask_stays_a_mask(feeds, masked):
    """Steps so small that it is no 31-bit number of them: the sum moves to a grid, and the masked weigh nothing."""
    small = QuantSpec(8, True, (2e-9,))
    weight = (np.arange(-8, 8).reshape(4, 4).astype(np.int8), TensorSpec((4, 4), small, batched=False))
    mask = np.where(np.eye(3, 4) > 0, masked, 0.0)[None]
    constants = {"w": weight, "mask": (mask, TensorSpec(mask.shape, None, batched=False))}
    nodes = [
        Node("q", Quantize(QuantSpec(8, True, (0.02,))), ("x",)),
        Node("acc", Linear(), ("q", "w")),
        Node("y", Dequantize(), ("acc",)),
        Node("m", Add(), ("y", "mask")),
        Node("p", Softmax(), ("m",)),
    ]
    mixed = build("g", {"x": X}, constants, nodes, ["p"])
    np.testing.assert_allclose(reals(lowered(mixed, "lut", feeds), feeds), reals(mixed, feeds), atol=1e-4)


def test_names_of_the_mixed_graph_are_not_taken(feeds):
    """A value called as an inserted requantization would be."""
    ones, zeros = np.ones(4), np.zeros(4)
    tail = [
        Node("y.stream", LayerNorm(1e-6), ("y", "ones", "zeros")),
        Node("s", Add(), ("y", "x")),
        Node("t", Add(), ("s", "y.stream")),
    ]
    mixed = linear_graph(*tail, outputs=["t"], extra={"ones": ones, "zeros": zeros})
    graph = lowered(mixed, "lut", feeds)
    assert "y.stream_1" in graph.meta["inserted"]
    assert "y.stream" not in graph.meta["inserted"]
    apart = np.abs(reals(graph, feeds) - reals(mixed, feeds))
    assert np.quantile(apart, 0.95) < 0.01  # rows of hardly any variance amplify a step


def test_one_constant_may_be_added_in_two_steps(feeds):
    shift = np.arange(12.0).reshape(1, 3, 4) / 10
    tail = [
        Node("a", Add(), ("y", "shift")),
        Node("b", Add(), ("x", "shift")),
        Node("c", Quantize(QuantSpec(8, True, (0.1,))), ("a",)),
        Node("d", Dequantize(), ("c",)),
    ]
    mixed = linear_graph(*tail, outputs=["d", "b"], extra={"shift": shift})
    graph = lowered(mixed, "lut", feeds)
    for ours, theirs in zip(graph.outputs, mixed.outputs, strict=True):
        np.testing.assert_allclose(reals(graph, feeds, ours), reals(mixed, feeds, theirs), atol=0.11)


def test_accumulators_may_be_the_output(feeds):
    mixed = linear_graph(outputs=["acc", "y"])
    graph = lowered(mixed, "lut", feeds)
    codes, wanted = (simulate(g, as_codes(g, feeds), ["acc"])["acc"] for g in (graph, mixed))
    np.testing.assert_array_equal(codes, wanted)
    assert graph.outputs[0] == "acc"


def test_the_integer_form_is_not_lowered_again(mlp, images):
    graph = lowered(mlp, "lut", {"x": images})
    with pytest.raises(IllegalModel) as caught:
        integerize(graph, "lut", {})
    assert str(caught.value) == "mlp: must be of the mixed form, got integers alone (recipe lut); use it as it is"


def test_a_ratio_that_is_no_power_of_two_keeps_its_multiplier(feeds):
    tail = [
        Node("m", Mean((1,)), ("y",)),
        Node("c", Quantize(QuantSpec(8, True, (0.05,))), ("m",)),
        Node("out", Dequantize(), ("c",)),
    ]
    mixed = linear_graph(*tail, outputs=["out"])
    graph = lowered(mixed, "p2vit", feeds)
    assert graph.meta["not_shifts"] == ["c"]  # a mean of three
    assert max(graph.node("c").op.multiplier).bit_count() > 1
    assert max(graph.node("y.link").op.multiplier).bit_count() == 1


@pytest.mark.parametrize("bits", [2, 3, 5])
def test_scores_of_few_bits(mlp, images, bits):
    """A wide range of them."""
    assert float_parts(lowered(mlp, Recipe(name="few", score_bits=bits), {"x": images * 40})) == ()


def test_one_constant_may_be_added_in_one_step_under_two_scalings(feeds):
    """The step of the sums is one, what it stands for is not."""
    shift = np.arange(12.0).reshape(1, 3, 4) / 10
    grid = QuantSpec(8, True, (0.1,))
    tail = [Node("p", Mul(), ("y", "half")), Node("r", Mul(), ("y", "whole"))]
    for name, source in (("a", "p"), ("b", "r")):
        add = Node(name, Add(), (source, "shift"))
        tail += [
            add,
            Node(f"{name}.codes", Quantize(grid), (name,)),
            Node(f"{name}.out", Dequantize(), (f"{name}.codes",)),
        ]
    mixed = linear_graph(*tail, outputs=["a.out", "b.out"], extra={"shift": shift, "half": [0.5], "whole": [0.6]})
    graph = lowered(mixed, "lut", feeds)
    for ours, theirs in zip(graph.outputs, mixed.outputs, strict=True):
        np.testing.assert_allclose(reals(graph, feeds, ours), reals(mixed, feeds, theirs), atol=0.11)
