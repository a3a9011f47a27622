import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import HwsimError, UnknownName
from hwsim.graph import Node, build
from hwsim.ops.quantize import Quantize
from hwsim.ops.reshape import Reshape
from hwsim.ops.transpose import Transpose
from hwsim.simulator import run_node, simulate
from hwsim.spec import BipolarSpec, QuantSpec, TensorSpec
from hwsim.study.accumulators import Accumulator, Seen
from hwsim.study.faults import Flip, Flips, toggled


def by_text(code, bit, bits, signed):
    """The code with its bit flipped, by writing its bits down."""
    text = list(format(code % 2**bits, f"0{bits}b"))
    text[bits - 1 - bit] = "10"[int(text[bits - 1 - bit])]
    value = int("".join(text), 2)
    return value - 2**bits if signed and text[0] == "1" else value


@given(data=st.data(), bits=st.integers(1, 32), signed=st.booleans())
def test_a_bit_of_twos_complement(data, bits, signed):
    spec = QuantSpec(bits, signed, (1.0,))
    codes = data.draw(st.lists(st.sampled_from((spec.qmin, spec.qmax)) | st.integers(spec.qmin, spec.qmax), min_size=1))
    places = [data.draw(st.integers(0, bits - 1)) for _ in codes]
    values = toggled(np.array(codes, spec.container), np.array(places), bits, spec)
    assert values.tolist() == [by_text(*pair, bits, signed) for pair in zip(codes, places, strict=True)]
    assert spec.qmin <= values.min() <= values.max() <= spec.qmax
    assert toggled(values, np.array(places), bits, spec).tolist() == codes, "flipped twice"


def test_example_of_the_semantics():
    """S16: 5 is 0101, -8 is 1000."""

    def flip(code, bit, signed):
        return int(toggled(np.array([code]), np.array([bit]), 4, QuantSpec(4, signed, (1.0,)))[0])

    assert (flip(5, 3, False), flip(5, 3, True), flip(-8, 0, True)) == (13, -3, -7)
    assert toggled(np.array([1, -1], np.int8), np.array([0, 0]), 1, BipolarSpec((1.0,))).tolist() == [-1, 1]


@pytest.mark.parametrize(
    ("text", "flip"),
    [
        ("fc1:0:1e-4", Flip("fc1", 0, 1e-4)),
        ("blocks.*.mlp.fc1:msb:1", Flip("blocks.*.mlp.fc1", "msb", 1.0)),
        ("a:b:*:0", Flip("a:b", "*", 0.0)),
    ],
)
def test_parse(text, flip):
    assert Flip.parse(text) == flip


BAD = [
    ("fc1", "flip: a fault is node:bit:rate, got 'fc1'; write it as blocks.*.mlp.fc1:msb:1e-4"),
    (":0:0.1", "flip: a fault is node:bit:rate, got ':0:0.1'; write it as blocks.*.mlp.fc1:msb:1e-4"),
    ("fc1.acc:-1:0.1", "fc1.acc: a bit is 0 or more, msb or *, got '-1'; 0 is the lowest"),
    ("fc1.acc:lsb:0.1", "fc1.acc: a bit is 0 or more, msb or *, got 'lsb'; 0 is the lowest"),
    ("fc1.acc:²:0.1", "fc1.acc: a bit is 0 or more, msb or *, got '²'; 0 is the lowest"),
    ("fc1.acc:0:1.5", "fc1.acc: a rate is a probability 0..1, got '1.5'; 1e-4 is one in ten thousand"),
    ("fc1.acc:0:-1e-9", "fc1.acc: a rate is a probability 0..1, got '-1e-9'; 1e-4 is one in ten thousand"),
    ("fc1.acc:0:nan", "fc1.acc: a rate is a probability 0..1, got 'nan'; 1e-4 is one in ten thousand"),
    ("fc1.acc:0:often", "fc1.acc: a rate is a probability 0..1, got 'often'; 1e-4 is one in ten thousand"),
    ("fc1.x:4:0.1", "fc1.x: a bit of it is 0..3, got 4; give a lower one, msb or *"),
    ("fc?.acc:10:0.1", "fc1.acc: a bit of it is 0..9, got 10; give a lower one, msb or *"),
    ("fc1.real:0:0.1", "fc1.real: codes and accumulators have bits, got (B, 3, 7) float; name an integer"),
    ("norm*:0:0.1", "norm*: a glob matches codes that a node computes, got none in 3 matches; name one in full"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_bad_faults(mlp, text, message):
    with pytest.raises(HwsimError) as caught:
        Flips.parse(mlp, [text])
    assert str(caught.value) == message


@pytest.mark.parametrize("pattern", ["fc1.ac", "fc3*", "x"])
def test_unknown_names(mlp, pattern):
    with pytest.raises(UnknownName, match=r"^node: unknown name, got '") as caught:
        Flips.parse(mlp, [f"{pattern}:0:0.1"])
    assert f"got '{pattern}'; known, nearest first: " in str(caught.value)
    assert "fc1.acc" in str(caught.value)


INTEGERS = ("fc1.x", "fc1.acc", "fc2.x", "fc2.acc")


@pytest.mark.parametrize("bit", ["0", "2", "msb", "*"])
def test_all_and_none(mlp, images, bit):
    """At rate 1 every element has one bit flipped, at rate 0 none."""
    plain = simulate(mlp, {"x": images}, INTEGERS)
    for name in INTEGERS:
        flips = Flips.parse(mlp, [f"{name}:{bit}:1"])
        value = simulate(mlp, {"x": images}, [name], execute=flips)[name]
        quant = mlp.specs[name].quant
        changed = (value.astype(np.int64) ^ plain[name]) % 2**quant.bits
        assert (np.bitwise_count(changed) == 1).all()
        assert quant.qmin <= value.min() <= value.max() <= quant.qmax
        assert value.dtype == plain[name].dtype
        assert set(np.unique(changed)) == {
            "msb": {2 ** (quant.bits - 1)},
            "*": {2**i for i in range(quant.bits)},
        }.get(bit, {2 ** int(bit) if bit.isdigit() else 0})
        assert flips.flipped == {name: value.size}
        none = Flips.parse(mlp, [f"{name}:{bit}:0"])
        np.testing.assert_array_equal(simulate(mlp, {"x": images}, [name], execute=none)[name], plain[name])
        assert none.flipped == {name: 0}


FAULTS = ("fc1.x:*:0.2", "fc?.acc:msb:0.1", "fc1.weight:*:0.1", "fc1.acc:0:0.3")


def test_threads_chunks_and_parts_change_no_bit(mlp, images):
    results = []
    for threads, chunk in ((1, 11), (2, 1), (3, 4)):
        flips = Flips.parse(mlp, FAULTS, seed=7)
        values = simulate(mlp, {"x": images}, INTEGERS, threads=threads, chunk=chunk, execute=flips)
        results.append((flips.flipped, {name: value.tolist() for name, value in values.items()}))
    flips, values = Flips.parse(mlp, FAULTS, seed=7), []
    for first, last in ((0, 5), (5, 7), (7, 11)):
        values.append(simulate(mlp, {"x": images[first:last]}, INTEGERS, execute=flips, first=first))
    joined = {name: np.concatenate([part[name] for part in values]).tolist() for name in values[0]}
    results.append((flips.flipped, joined))
    assert all(result == results[0] for result in results[1:])
    assert all(results[0][0].values())
    for other in (8, -7):
        again = Flips.parse(mlp, FAULTS, seed=other)
        assert simulate(mlp, {"x": images}, ["fc1.x"], execute=again)["fc1.x"].tolist() != results[0][1]["fc1.x"]


def codes(bits=4):
    """A graph that quantizes 5000 numbers and hands them on; feeds of four equal images."""
    nodes = [
        Node("q", Quantize(QuantSpec(bits, True, (0.1,))), ("x",)),
        Node("moved", Transpose((0, 2, 1)), ("q",)),
        Node("view", Reshape((1, 5000)), ("moved",)),
    ]
    x = np.random.default_rng(0).normal(0, 0.5, (1, 50, 100))
    return build("codes", {"x": TensorSpec((1, 50, 100))}, {}, nodes, ["view"]), {"x": np.repeat(x, 4, axis=0)}


@pytest.mark.parametrize("rate", [0.003, 0.1, 0.5, 0.97])
def test_as_many_as_the_rate_says(rate):
    """Within five standard deviations of the binomial; no two images alike; each place as often as the others."""
    graph, feeds = codes()
    plain = simulate(graph, feeds, ["q"])["q"]
    hits = np.zeros((4, 50, 100))
    for seed in range(5):
        flips = Flips.parse(graph, [f"q:0:{rate}"], seed)
        hit = simulate(graph, feeds, ["q"], execute=flips)["q"] != plain
        assert flips.flipped["q"] == hit.sum()
        assert abs(hit.sum() - 20000 * rate) < 5 * (20000 * rate * (1 - rate)) ** 0.5
        assert len({image.tobytes() for image in hit}) == 4
        hits += hit
    places = hits.sum(axis=(0, 1))
    assert abs(places - 1000 * rate).max() < 6 * (1000 * rate * (1 - rate)) ** 0.5


def test_a_random_bit_is_any_bit_equally_often():
    graph, feeds = codes()
    plain = simulate(graph, feeds, ["q"])["q"]
    value = simulate(graph, feeds, ["q"], execute=Flips.parse(graph, ["q:*:1"]))["q"]
    counts = np.bincount(((value ^ plain) % 16).reshape(-1), minlength=16)[[1, 2, 4, 8]]
    assert counts.sum() == 20000
    assert abs(counts - 5000).max() < 5 * (20000 * 0.25 * 0.75) ** 0.5


def test_a_higher_rate_flips_more_and_the_same():
    graph, feeds = codes()
    plain = simulate(graph, feeds, ["q"])["q"]
    few, many = (
        simulate(graph, feeds, ["q"], execute=Flips.parse(graph, [f"q:1:{rate}"], 3))["q"] != plain
        for rate in (0.01, 0.2)
    )
    assert 0 < few.sum() < many.sum()
    assert not (few & ~many).any()


def test_several_faults_of_one_value():
    """One after the other, with draws of their own: twice the same bit at one half hits a quarter twice, which shows not."""
    graph, feeds = codes()
    plain = simulate(graph, feeds, ["q"])["q"]
    flips = Flips.parse(graph, ["q:0:0.5", "*:0:0.5"])
    hit = simulate(graph, feeds, ["q"], execute=flips)["q"] != plain
    assert abs(hit.sum() - 10000) < 5 * 5000**0.5
    assert abs(flips.flipped["q"] - 20000) < 5 * 10000**0.5
    both = Flips.parse(graph, ["q:0:1", "q:3:1"])
    np.testing.assert_array_equal(simulate(graph, feeds, ["q"], execute=both)["q"], plain ^ np.int8(-7))


def test_a_glob_passes_over_floats_and_what_only_moves(mlp):
    graph, feeds = codes()
    assert list(Flips.parse(graph, ["*:0:0.1"]).flipped) == ["q"]
    plain = simulate(graph, feeds, ["q"])
    moved = Flips.parse(graph, ["moved:0:1"])
    values = simulate(graph, feeds, ["q"], execute=moved)
    np.testing.assert_array_equal(values["q"], plain["q"])
    np.testing.assert_array_equal(values["view"], plain["view"] ^ 1)
    assert list(Flips.parse(mlp, ["*:0:0.1"]).flipped) == ["fc1.weight", "fc2.weight", *INTEGERS]
    assert list(Flips.parse(mlp, ["fc[12].x:0:0.1", "fc2.*:0:0.1"]).flipped) == [
        "fc1.x",
        "fc2.x",
        "fc2.weight",
        "fc2.acc",
    ]


def test_constants_are_flipped_once_for_every_image(mlp, images):
    """As a graph with those weights; the weights of the graph itself stay as they are."""
    before = mlp.constants["fc1.weight"].copy()
    flips = Flips.parse(mlp, ["fc1.weight:msb:0.3"], 5)
    value = simulate(mlp, {"x": images}, INTEGERS, execute=flips, chunk=2)
    np.testing.assert_array_equal(mlp.constants["fc1.weight"], before)
    rows, spec = simulate(mlp, {"x": images}, ["fc1.x"])["fc1.x"].astype(int) - 7, mlp.specs["fc1.weight"]
    found = np.linalg.lstsq(rows.reshape(-1, 5), value["fc1.acc"].reshape(-1, 7), rcond=None)[0].T
    wrong = np.rint(found).astype(np.int8)
    np.testing.assert_allclose(found, wrong, atol=1e-9)
    assert flips.flipped == {"fc1.weight": int((wrong != before).sum())}
    assert 0 < flips.flipped["fc1.weight"] < before.size
    assert set(np.unique(wrong ^ before)) == {0, -8}
    constants = {name: (array, mlp.specs[name]) for name, array in mlp.constants.items()}
    other = build("other", {"x": mlp.specs["x"]}, {**constants, "fc1.weight": (wrong, spec)}, mlp.nodes, mlp.outputs)
    for name, array in simulate(other, {"x": images}, INTEGERS).items():
        np.testing.assert_array_equal(value[name], array)


def test_a_value_made_of_constants_alone(images):
    grid = QuantSpec(4, True, (1.0,))
    weight = np.arange(-8, 7, dtype=np.int8).reshape(5, 3), TensorSpec((5, 3), grid, batched=False)
    nodes = [
        Node("w", Transpose((1, 0)), ("w.t",)),
        Node("q", Quantize(grid), ("x",)),
        Node("y", Reshape((3, 5)), ("w",)),
    ]
    graph = build("g", {"x": TensorSpec((1, 3, 5))}, {"w.t": weight}, nodes, ["y", "q"])
    flips = Flips.parse(graph, ["w:0:0.5"])
    values = [simulate(graph, {"x": images}, execute=flips, chunk=chunk)["y"].tolist() for chunk in (1, 4)]
    assert values[0] == values[1]
    assert flips.flipped["w"] == int((np.array(values[0]) != weight[0].T).sum()) > 0


def test_bipolar_codes_change_their_sign(images):
    graph = build("b", {"x": TensorSpec((1, 3, 5))}, {}, [Node("q", Quantize(BipolarSpec((1.0,))), ("x",))], ["q"])
    plain = simulate(graph, {"x": images})["q"]
    for bit in ("0", "msb", "*"):
        value = simulate(graph, {"x": images}, execute=Flips.parse(graph, [f"q:{bit}:1"]))["q"]
        np.testing.assert_array_equal(value, -plain)
    with pytest.raises(HwsimError) as caught:
        Flips.parse(graph, ["q:1:1"])
    assert str(caught.value) == "q: a bit of it is 0..0, got 1; give a lower one, msb or *"


def test_no_value_is_written_to():
    """A copy is flipped: what shares memory with the value keeps its codes."""
    grid = QuantSpec(8, True, (1.0,))
    nodes = [Node("view", Reshape((1, 6)), ("x",)), Node("y", Transpose((0, 1)), ("view",))]
    graph = build("v", {"x": TensorSpec((1, 2, 3), grid)}, {}, nodes, ["y"])
    x = np.arange(12, dtype=np.int8).reshape(2, 2, 3)
    x.setflags(write=False)
    assert simulate(graph, {"x": x}, execute=Flips.parse(graph, ["view:0:1"]))["y"].tolist() == (
        (x ^ 1).reshape(2, 6).tolist()
    )


def test_together_with_a_narrow_accumulator(mlp, images):
    """The register has so many bits as it has: its highest is flipped, not that of the proven width."""
    accumulator = Accumulator(5, "saturate", 1)
    flips = Flips.parse(mlp, ["fc2.acc:msb:1"], execute=accumulator)
    watch = Seen(flips)
    value = simulate(mlp, {"x": images}, ["fc2.acc"], execute=watch)["fc2.acc"]
    alone = simulate(mlp, {"x": images}, ["fc2.acc"], execute=Accumulator(5, "saturate", 1))["fc2.acc"]
    np.testing.assert_array_equal(value, alone ^ -16)
    assert -16 <= watch.ranges["fc2.acc"].low <= watch.ranges["fc2.acc"].high <= 15
    assert accumulator.overflows["fc2.acc"].narrowings > 0
    with pytest.raises(HwsimError) as caught:
        Flips.parse(mlp, ["fc2.acc:5:1"], execute=Accumulator(5))
    assert str(caught.value) == "fc2.acc: a bit of it is 0..4, got 5; give a lower one, msb or *"
    for wide in (Accumulator(32), run_node):
        Flips.parse(mlp, ["fc2.acc:5:1", "fc2.x:3:1", "fc2.weight:3:1"], execute=wide)


def test_what_follows_meets_the_flipped_codes(mlp, images):
    wrong = simulate(mlp, {"x": images}, INTEGERS, execute=Flips.parse(mlp, ["fc1.x:msb:0.3"]))
    forced = simulate(mlp, {"x": images}, INTEGERS, replace={"fc1.x": wrong["fc1.x"]})
    for name in ("fc1.acc", "fc2.x", "fc2.acc", "scores"):
        np.testing.assert_array_equal(wrong[name], forced[name])
