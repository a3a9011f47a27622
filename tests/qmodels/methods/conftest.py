"""Digits models calibrated by a method, each made once; how far they are from the float model; their integers."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from qmodels import builder, checkpoint, data, ptq
from qmodels import method as methods
from qmodels.evaluation import logits
from qmodels.evidence import trace_model
from qmodels.verification import verify

CHECKED = 12
"""Images on which codes are compared."""


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """`made("fqvit", "w4a4", ...)`: the calibrated digits model, from 32 images; `seed` and so on as in ptq.calibrate."""
    folder, found = tmp_path_factory.mktemp("methods"), {}

    def make(method, bits, **more):
        key = (method, bits, repr(more))
        if key not in found:
            out = folder / f"{len(found)}.safetensors"
            found[key] = ptq.calibrate(f"digits_deit_{bits}", method=method, out=out, **more), out
        return found[key][0]

    make.path = lambda method, bits, **more: (make(method, bits, **more), found[method, bits, repr(more)][1])[1]
    return make


@pytest.fixture(scope="session")
def kl():
    """`kl(model)`: KL(float || model) in nat, the mean over the test images."""
    images = data.digits("test")[0]
    with torch.no_grad():
        wanted = logits(builder.build("digits_float"), images).log_softmax(1)

    def divergence(model):
        with torch.no_grad():
            own = logits(model, images).log_softmax(1)
        return F.kl_div(own, wanted, log_target=True, reduction="batchmean").item()

    return divergence


@pytest.fixture(scope="session")
def graph_of():
    """`graph_of(outcome)`: the mixed graph, all of whose codes are those of the fake-quant model in both modes."""

    known = {}

    def checked(outcome):
        if id(outcome) not in known:
            known[id(outcome)] = outcome, once(outcome)
        return known[id(outcome)][1]

    def once(outcome):
        images, labels = data.digits("test")
        graph = trace_model(outcome.model, outcome.workload)
        report = verify(outcome.model, graph, images[:CHECKED], labels[:CHECKED])
        for mode in ("node_by_node", "free_running"):
            assert report.mismatched(mode) == 0, report.first_diverging(mode)
            assert report.compared(mode) > 10**6
        assert report.agreeing == CHECKED
        return graph

    return checked


@pytest.fixture
def method_of(monkeypatch):
    """`method_of("fqvit", name="mine", ...)`: a changed method, known by its new name as long as the test runs."""
    known, own = methods.find, {}

    def find(name, preset=methods.DEPLOYABLE):
        return own.get(name) or known(name, preset)

    def add(method, **changes):
        made = dataclasses.replace(known(method), **changes)
        own[made.name] = made
        monkeypatch.setattr(methods, "find", find)
        return made

    return add


@pytest.fixture(scope="session")
def outliers(tmp_path_factory):
    """`outliers(5, 13)`: the float model with gains of these channels times 30, and the weights behind them over 30."""
    folder = tmp_path_factory.mktemp("outliers")

    def teacher(*channels):
        path, model = folder / f"{'_'.join(map(str, channels))}.safetensors", builder.build("digits_float")
        with torch.no_grad():
            for block in model.blocks:
                for norm, layer in ((block.norm1, block.attn.qkv), (block.norm2, block.mlp.fc1)):
                    norm.weight[list(channels)] *= 30
                    norm.bias[list(channels)] *= 30
                    layer.weight[:, list(channels)] /= 30
        checkpoint.save(model, "digits_float", path)
        return path

    return teacher
