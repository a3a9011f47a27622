"""Going on after a kill: all that decides the rest of a training, in one file that is whole or not there.

Tensors: `model.*`, `optimizer.<parameter>/<entry>`, `averaged.*`, `random.*` (torch's states, a row per process),
`order.*` (the generator of the images' order at the epoch's start and now), `observer.<number>.*`. Metadata: what the
training is (`identity`, each key of which must be the same to go on), and the position as JSON. Numbers that are no tensors
are kept as JSON, which gives a float back bit for bit.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from hwsim.tensors import read_tensors, write_tensors
from qmodels.identity import need_same
from qmodels.training.parallel import Group, spread, whole

FORMAT = "hwsim-training/1"
REMEDY = "remove it, and train from the beginning"


@dataclass(slots=True)
class Place:
    """Where training is: steps done in all, epochs and batches of the epoch done, and sums over the epoch so far."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    loss: float = 0.0  # mean of the last whole epoch
    sums: dict[str, float] = field(default_factory=dict)
    scaler: dict[str, float] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)  # what the optimizer remembers besides tensors


def path_of(out: Path) -> Path:
    """The file of the state of a training that will write `out`."""
    return out.with_name(f"{out.name}.state")


def write(path: Path, identity: Mapping[str, str], place: Place, tensors: Mapping[str, Tensor]) -> None:
    """Write the state, whole or not at all."""
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    said = {"identity": dict(identity), "place": asdict(place), "order": list(arrays)}
    write_tensors(arrays, {key: json.dumps(value) for key, value in said.items()}, FORMAT, path)


def read(path: Path, identity: Mapping[str, str]) -> tuple[Place, dict[str, Tensor]]:
    """The place and tensors in `path`; raises BadFile where it is no state, or that of another training."""
    arrays, metadata = read_tensors(path, FORMAT, REMEDY)
    need_same(path, json.loads(metadata["identity"]), identity, "training")
    tensors = {name: torch.from_numpy(arrays[name].copy()) for name in json.loads(metadata["order"])}
    return Place(**json.loads(metadata["place"])), tensors


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of `tensors` whose names begin with `prefix` and a dot, without them."""
    return {name[len(prefix) + 1 :]: tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}.")}


def of_model(model: nn.Module) -> dict[str, Tensor]:
    """All tensors of `model`, whole, on the CPU."""
    return {name: whole(tensor) for name, tensor in model.state_dict().items()}


def put_model(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put what `of_model` gave into `model`, in place."""
    with torch.no_grad():
        for name, own in model.state_dict().items():
            own.copy_(spread(tensors[name], own))


def of_optimizer(optimizer: torch.optim.Optimizer, model: nn.Module) -> tuple[dict[str, Tensor], dict[str, float]]:
    """The tensors and the numbers that the optimizer remembers, `NAME/ENTRY` of a parameter and `group G/ENTRY`."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    kept = {names[p]: entries for p, entries in optimizer.state.items()}
    kept |= {f"group {number}": group for number, group in enumerate(optimizer.param_groups)}
    found = {f"{name}/{entry}": value for name, entries in kept.items() for entry, value in entries.items()}
    tensors = {key: whole(value) for key, value in found.items() if isinstance(value, Tensor)}
    return tensors, {key: value for key, value in found.items() if type(value) in (int, float)}


def put_optimizer(
    optimizer: torch.optim.Optimizer, model: nn.Module, tensors: Mapping[str, Tensor], numbers: Mapping[str, float]
) -> None:
    """Let the optimizer remember what `of_optimizer` gave."""
    parameters = dict(model.named_parameters())
    places = {p: i for i, p in enumerate(p for group in optimizer.param_groups for p in group["params"])}
    said = optimizer.state_dict()
    kept: dict[int, dict[str, Tensor | float]] = {}
    for key, value in {**tensors, **numbers}.items():
        name, entry = key.split("/")
        if name.startswith("group "):
            said["param_groups"][int(name.removeprefix("group "))][entry] = value
            continue
        parameter = parameters[name]
        if isinstance(value, Tensor) and value.shape == parameter.shape and entry != "step":
            value = spread(value, parameter)
        kept.setdefault(places[parameter], {})[entry] = value
    optimizer.load_state_dict({**said, "state": kept})


def random_states(group: Group) -> dict[str, Tensor]:
    """The states of torch's generators of all processes, (processes, bytes) each."""
    states = {"cpu": torch.get_rng_state()}
    if group.device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(group.device)
    return {name: group.gathered(state) for name, state in states.items()}


def put_random_states(states: Mapping[str, Tensor], group: Group) -> None:
    """Put this process's rows of what `random_states` gave into torch's generators."""
    torch.set_rng_state(states["cpu"][group.rank].clone())  # torch would read a view from where its storage begins
    if group.device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"][group.rank].clone(), group.device)


def named(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`tensors` with `prefix` and a dot before their names."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def joined(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """All of `parts` in one."""
    return {name: tensor for part in parts for name, tensor in part.items()}
