"""Did an integer move? Every code and accumulator of the shipped models, against a digest that is reviewed as a diff."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hwsim.simulator import simulate
from qmodels import builder, data
from qmodels.tracing import INPUT, trace

GOLDEN = json.loads((Path(__file__).parent / "golden" / "codes.json").read_text())


def integers(name):
    """SHA-256 over all integer values of the workload `name` on the first 20 test images."""
    graph = trace(builder.build(name), torch.zeros(2, 1, 32, 32), name)
    images, _ = data.digits("test")
    wanted = [node.name for node in graph.nodes if graph.specs[node.name].quant is not None]
    values = simulate(graph, {INPUT: images[:20].numpy()}, wanted)
    state = hashlib.sha256()
    for node in wanted:
        state.update(f"{node} {values[node].dtype} {values[node].shape}\n".encode())
        state.update(np.ascontiguousarray(values[node]).tobytes())
    return state.hexdigest()


@pytest.mark.parametrize("name", ["digits_w4a4", "digits_w2a2"])
def test_no_integer_moved(name):
    assert integers(name) == GOLDEN[name]
