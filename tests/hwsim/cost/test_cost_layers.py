from hwsim.cost.layers import rows_of
from hwsim.cost.table import tally
from workloads import topologies
from workloads.topologies import Layer, Topology

TINY = Topology(
    "tiny",
    "tiny",
    (
        Layer("stem", 3, 4, (9, 7), (3, 3), stride=2, padding=(1, 0), end="patch_embed"),
        Layer("depthwise", 4, 4, (5, 3), (3, 1), groups=4, bits=(1, 2)),
        Layer("fc", 60, 10, end="head"),
    ),
    "here",
)


def test_products_of_layers() -> None:
    rows = {row.node: row for row in rows_of(TINY, 4, 3, ends_bits=8) if row.gemm}
    found = {
        n: (r.gemm.batch, r.gemm.m, r.gemm.k, r.gemm.n, r.gemm.b_bits, r.gemm.a_bits) for n, r in rows.items() if r.gemm
    }
    assert found == {
        "stem": (1, 5 * 3, 27, 4, 8, 8),
        "depthwise": (4, 3 * 3, 3, 1, 1, 2),
        "fc": (1, 1, 60, 10, 8, 8),
    }
    assert [(n, r.group, r.weights, r.parameters) for n, r in rows.items()] == [
        ("stem", "patch_embed", 108, 0),
        ("depthwise", "conv", 12, 0),
        ("fc", "head", 600, 0),
    ]


def test_floats_but_for_widths_of_their_own() -> None:
    widths = {row.node: (row.gemm.b_bits, row.gemm.a_bits) for row in rows_of(TINY, 32, 32) if row.gemm}
    assert widths == {"stem": (32, 32), "depthwise": (1, 2), "fc": (32, 32)}


def test_bit_operations_are_counted_as_bits_say() -> None:
    macs = {"stem": 15 * 27 * 4, "depthwise": 4 * 9 * 3, "fc": 600}
    assert tally(rows_of(TINY, 4, 3), "bitops_wa").total == 64 * macs["stem"] + 2 * macs["depthwise"] + 64 * macs["fc"]


def test_nothing_but_weights_is_stored() -> None:
    rows = rows_of(topologies.find("resnet50_v1"), 4, 4)
    assert sum(row.weights for row in rows) == 25_502_912
    assert sum(row.parameters for row in rows) == 0
