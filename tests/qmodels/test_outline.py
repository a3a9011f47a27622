import dataclasses

import pytest
import torch
from torch import nn

import workloads
from hwsim.cost.work import work
from qmodels import evidence, outline
from qmodels.outline import rows_of
from workloads.bits import Bits


@pytest.mark.parametrize("name", ["digits_w4a4", "digits_w2a2", "digits_float"])
def test_rows_are_those_of_the_whole_trace(name):
    workload = workloads.find(name)
    assert rows_of(workload) == work(evidence.skeleton_of(workload))


def test_methods_that_add_norms_keep_their_parameters():
    workload = dataclasses.replace(workloads.find("digits_w4a4"), method="lsq", bits=Bits(3, 5, 6))
    rows = rows_of(workload)
    assert rows == work(evidence.skeleton_of(workload))
    assert not any(row.role == "qk_norm" for row in rows)


def test_only_one_block_is_traced(monkeypatch):
    depths = []
    trace = outline.trace

    def counting(model, *arguments):
        depths.append(len(model.blocks))
        return trace(model, *arguments)

    monkeypatch.setattr(outline, "trace", counting)
    rows_of(workloads.find("digits_w4a4"))
    assert depths == [1]


def test_blocks_that_differ_are_traced_all(monkeypatch):
    skeleton = outline.builder.skeleton

    def uneven(workload):
        model = skeleton(workload)
        model.blocks[1].mlp = nn.Identity()
        return model

    monkeypatch.setattr(outline.builder, "skeleton", uneven)
    workload = workloads.find("digits_w4a4")
    with torch.no_grad():
        rows = rows_of(workload)
    assert not any(row.node.startswith("blocks.1.mlp") for row in rows)
    assert sum(row.node.endswith("mlp.fc1") for row in rows) == 3
    assert rows == work(evidence.skeleton_of(workload))


def test_blocks_are_alike_where_their_parameters_are():
    def model(*sizes):
        blocks = [nn.Identity() for _ in sizes]
        for block, size in zip(blocks, sizes, strict=True):
            block.gain = nn.Parameter(torch.ones(size))
        whole = nn.Module()
        whole.blocks = nn.Sequential(*blocks)
        return whole

    assert outline._alike(model(3, 3)) == 2
    assert outline._alike(model(3, 4)) == 0
