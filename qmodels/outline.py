"""Rows of work of a model, quicker than by tracing all of it: of blocks that are all alike, one is traced.

timm's isotropic models (ViT, DeiT) run the same block over and over as `model.blocks`. Where all of them print alike and
have parameters of the same shapes, the first alone is traced and its rows are repeated under the others' names; a model
of other blocks (Swin) is traced whole. The rows equal those of the whole trace, in its order.
"""

import dataclasses

import torch
from torch import nn

from hwsim.cost.work import Rows, Work, work
from qmodels import builder, models
from qmodels.tracing import need_quantized, parameters, trace
from workloads.workload import Workload

_FIRST = "blocks.0."


def rows_of(workload: Workload) -> tuple[Work, ...]:
    """What `work` gives for the skeleton of `workload`: right for costs alone."""
    model = builder.skeleton(workload)
    held, depth = parameters(model), _alike(model)
    if depth > 1:
        model.blocks = model.blocks[:1]
    graph = trace(model, torch.zeros(2, *models.image_of(workload.model)), workload.name, {"parameters": held})
    need_quantized(graph, workload.bits)
    return _repeated(work(graph), depth, held)


def _alike(model: nn.Module) -> int:
    """How many blocks the model has that are all alike, 0 where they are not."""
    blocks = getattr(model, "blocks", None)
    if not isinstance(blocks, nn.Sequential):
        return 0
    looks = {(repr(block), tuple((n, p.shape) for n, p in block.named_parameters())) for block in blocks}
    return len(blocks) if len(looks) == 1 else 0


def _repeated(rows: Rows, depth: int, held: int) -> tuple[Work, ...]:
    """`rows` with those of the first block `depth` times; the last row takes what is left of `held` parameters."""
    first = [i for i, row in enumerate(rows) if row.node.startswith(_FIRST)]
    if depth <= 1 or not first:
        return tuple(rows)
    start, stop = first[0], first[-1] + 1
    blocks = [_moved(row, index) for index in range(depth) for row in rows[start:stop]]
    whole = (*rows[:start], *blocks, *rows[stop:-1])
    rest = held - sum(row.weights + row.parameters for row in whole)
    return (*whole, dataclasses.replace(rows[-1], parameters=rest))


def _moved(row: Work, index: int) -> Work:
    """The row of the first block as one of block `index`."""
    node, serves = (name.replace(_FIRST, f"blocks.{index}.", 1) for name in (row.node, row.serves))
    return dataclasses.replace(row, node=node, serves=serves)
