"""A trained network, in both forms, gives the same bits on every tier, for any chunk and any number of threads."""

import numpy as np
import pytest

import workloads
from hwsim.kernels import choose
from hwsim.lower import integerize
from hwsim.lower.ranges import measure
from hwsim.simulator import as_codes, run_node, simulate
from qmodels import builder, data, evidence
from qmodels.tracing import INPUT

WAYS = ((1, 1), (2, 3), (4, 2), (7, 1))


@pytest.mark.parametrize(
    ("name", "form"),
    [
        pytest.param("digits_w8a8", "mixed", marks=pytest.mark.slow),
        ("digits_w8a8", "lut"),
        ("digits_w4a4", "mixed"),
        ("digits_w4a4", "ivit"),
        ("digits_w2a2", "ibert"),
    ],
)
def test_every_tier_gives_the_same_bits(monkeypatch, name, form):
    workload = workloads.find(name)
    graph = evidence.trace_model(builder.build(workload), workload)
    sample, images = (data.load(workload, part, limit=n)[0].numpy() for part, n in (("train", 16), ("test", 9)))
    if form != "mixed":
        graph = integerize(graph, form, measure(graph, {INPUT: sample}))
    feeds = as_codes(graph, {INPUT: images})
    monkeypatch.setenv(choose.VARIABLE, "oracle")
    everything = [node.name for node in graph.nodes]
    wanted = simulate(graph, feeds, everything, execute=lambda g, node, values: run_node(g, node, values), threads=1)
    for tier in choose.usable():
        monkeypatch.setenv(choose.VARIABLE, tier)
        for chunk, threads in WAYS:
            for keep in ((), everything[3::7]):
                for node, value in simulate(graph, feeds, keep, chunk=chunk, threads=threads).items():
                    assert value.dtype == wanted[node].dtype
                    np.testing.assert_array_equal(value, wanted[node], err_msg=f"{node} on {tier}")
