"""Several processes that train one model, as torchrun starts them: each has a share of every batch.

The shares of a batch of R * b images are every R-th of them, so R processes with batch b take the steps of one process
with batch R b: gradients are averaged over the images, not over the processes (`Group.weight`). Data-parallel training
(DDP) copies the model; `fsdp` spreads its weights, gradients and optimizer over the processes, block by block. gloo
connects CPUs, nccl GPUs. Only the process of rank 0 writes.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from hwsim.errors import HwsimError
from workloads.workload import Recipe


@dataclass(frozen=True, slots=True)
class Group:
    """This process, `rank` of `size`, and its device."""

    rank: int
    size: int
    device: torch.device

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def share(self, items: Tensor) -> Tensor:
        """This process's part of a batch: every size-th item."""
        return items[self.rank :: self.size]

    def weight(self, own: int, total: int) -> float:
        """By what the mean over `own` images is multiplied so that the mean over processes is the one over `total`."""
        return self.size * own / total if self.size > 1 else 1.0

    def sum(self, values: Sequence[float]) -> list[float]:
        """The sums over all processes, in float64."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return total.tolist()

    def gathered(self, own: Tensor) -> Tensor:
        """The tensors `own` of all processes, stacked (size, ...), on the CPU."""
        if self.size == 1:
            return own.cpu()[None]
        parts = [torch.empty_like(own, device=self.device) for _ in range(self.size)]
        dist.all_gather(parts, own.to(self.device))
        return torch.stack(parts).cpu()

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def started(recipe: Recipe) -> Iterator[Group]:
    """Within, this process's group: of all that torchrun started, else this process alone."""
    rank, size, local = (int(os.environ.get(key, usual)) for key, usual in _ENVIRONMENT)
    device = _device(recipe, local)
    if recipe.parallel == "fsdp" and size == 1:
        raise HwsimError(
            "parallel: fsdp must have several processes, got 1; start with `torchrun --nproc-per-node 2 -m hwsim train`"
        )
    if size == 1:
        yield Group(0, 1, device)
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Group(rank, size, device)
    finally:
        dist.destroy_process_group()


_ENVIRONMENT = (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))


def _device(recipe: Recipe, local: int) -> torch.device:
    if recipe.device == "cuda" and not torch.cuda.is_available():
        raise HwsimError("device: cuda must be there, got none; pass --set device=cpu")
    if recipe.device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    if local >= torch.cuda.device_count():
        raise HwsimError(
            f"device: each process must have a GPU, got {torch.cuda.device_count()} for process {local}; "
            "lower --nproc-per-node, or pass --set device=cpu"
        )
    return torch.device("cuda", local)


def wrapped(model: nn.Module, group: Group, how: str) -> nn.Module:
    """`model` as all processes train it, with the weights, scales and buffers of rank 0."""
    if group.size == 1:
        return model
    for tensor in model.state_dict().values():
        dist.broadcast(tensor, 0)
    if how == "fsdp":
        for block in reversed(_blocks(model)):  # inner ones first
            fully_shard(block)
        return fully_shard(model)
    return DistributedDataParallel(model, device_ids=[group.device.index] if group.device.type == "cuda" else None)


def _blocks(model: nn.Module) -> list[nn.Module]:
    """The members of the model's lists of modules that are large enough to be gathered on their own."""
    members = [m for parent in model.modules() if isinstance(parent, nn.Sequential | nn.ModuleList) for m in parent]
    return [m for m in members if not isinstance(m, nn.ModuleList) and sum(p.numel() for p in m.parameters()) >= 10_000]


def whole(tensor: Tensor) -> Tensor:
    """`tensor` with all its parts, on the CPU; every process must ask."""
    tensor = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return tensor.detach().cpu()


def spread(tensor: Tensor, like: Tensor) -> Tensor:
    """`tensor`, which is whole, on the device of `like` and spread as that is."""
    if isinstance(like, DTensor):
        return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)
    return tensor.to(like.device)
