"""The graph file: one safetensors file; arrays are its tensors, the graph is JSON in its metadata. Never pickle.

Specs of nodes are not stored but inferred again at loading, so a file cannot claim what its operators would refuse.
"""

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hwsim import catalog
from hwsim.errors import BadFile, HwsimError, IllegalModel
from hwsim.graph import Graph, Node, build, check_attributes, op_attributes, op_name
from hwsim.op import Op
from hwsim.spec import BipolarSpec, IntegerSpec, QuantSpec, ShiftSpec, TensorSpec
from hwsim.tensors import read_tensors, write_tensors

FORMAT = "hwsim-graph/1"
SPECS: dict[str, Callable[..., IntegerSpec]] = {"quant": QuantSpec, "bipolar": BipolarSpec, "shift": ShiftSpec}


def save(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write `graph` to `path`, whole or not at all."""
    content = {
        "name": graph.name,
        "inputs": {name: _spec_out(graph.specs[name]) for name in graph.inputs},
        "constants": {name: _spec_out(graph.specs[name]) for name in graph.constants},
        "nodes": [
            {"name": n.name, "op": op_name(n.op), "inputs": n.inputs, "attributes": _attributes_out(n.op)}
            for n in graph.nodes
        ],
        "outputs": graph.outputs,
        "meta": dict(graph.meta),
    }
    arrays = {name: np.array(array, order="C") for name, array in graph.constants.items()}
    write_tensors(arrays, {"graph": json.dumps(content)}, FORMAT, Path(path))


def load(path: str | os.PathLike[str]) -> Graph:
    """The graph in the file `path`; raises BadFile in one line where it is not one, is damaged or is illegal."""
    arrays, metadata = read_tensors(Path(path), FORMAT, "write one with `hwsim trace`")
    try:
        content = json.loads(metadata["graph"])
        missing = [name for name in content["constants"] if name not in arrays]
        if missing:
            raise BadFile(f"{path}: every constant must be there, got no tensor {missing[0]!r}; trace the model again")
        return build(
            content["name"],
            {name: _named(name, _spec_in, entry) for name, entry in content["inputs"].items()},
            {name: (arrays[name], _named(name, _spec_in, entry)) for name, entry in content["constants"].items()},
            [
                Node(n["name"], _named(n["name"], _op_in, n["op"], n["attributes"]), tuple(n["inputs"]))
                for n in content["nodes"]
            ],
            content["outputs"],
            content["meta"],
        )
    except BadFile:
        raise
    except HwsimError as error:
        raise BadFile(f"{path}: {error}") from None
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError) as error:
        raise BadFile(f"{path}: the graph cannot be read, got {error!r}; trace the model again") from None


def _named(name: str, read: Callable[..., Any], *entries: Any) -> Any:
    """What `read` makes of a value's entries; where a rule refuses them, the error says which value it is."""
    try:
        return read(*entries)
    except (ValueError, IllegalModel) as error:
        raise IllegalModel(f"{name}: {error}") from None


def _spec_out(spec: TensorSpec) -> dict[str, Any]:
    return {"shape": spec.shape, "batched": spec.batched, "format": _format_out(spec.quant)}


def _spec_in(entry: Mapping[str, Any]) -> TensorSpec:
    return TensorSpec(tuple(entry["shape"]), _format_in(entry["format"]), entry["batched"])


def _format_out(quant: IntegerSpec | None) -> dict[str, Any] | None:
    if quant is None:
        return None
    kind = next(kind for kind, made in SPECS.items() if type(quant) is made)
    return {"grid": kind, **dataclasses.asdict(quant)}


def _format_in(entry: Mapping[str, Any] | None) -> IntegerSpec | None:
    if entry is None:
        return None
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items() if key != "grid"}
    quant: IntegerSpec = SPECS[entry["grid"]](**fields)
    return quant


def _attributes_out(op: Op) -> dict[str, Any]:
    return {
        key: _format_out(value) if isinstance(value, IntegerSpec) else value for key, value in op_attributes(op).items()
    }


def _op_in(name: str, entries: Mapping[str, Any]) -> Op:
    fields: dict[str, Any] = {}
    for key, value in entries.items():
        fields[key] = (
            _format_in(value) if isinstance(value, dict) else tuple(value) if isinstance(value, list) else value
        )
    kind = catalog.find("hwsim.ops", name, "operator")
    check_attributes(kind, fields)
    op: Op = kind(**fields)
    return op
