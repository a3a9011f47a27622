"""The graph file: one safetensors file; arrays are its tensors, the graph is JSON in its metadata. Never pickle.

Specs of nodes are not stored but inferred again at loading, so a file cannot claim what its operators would refuse. A
digest over the arrays is stored, because safetensors itself notices a cut file but not a flipped bit.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as encode

from hwsim import catalog
from hwsim.errors import BadFile, HwsimError
from hwsim.graph import Graph, Node, build, op_attributes, op_name
from hwsim.op import Array, Op
from hwsim.record import write_bytes
from hwsim.spec import BipolarSpec, IntegerSpec, QuantSpec, TensorSpec

FORMAT = "hwsim-graph/1"
SPECS: dict[str, Callable[..., IntegerSpec]] = {"quant": QuantSpec, "bipolar": BipolarSpec}


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
    metadata = {"format": FORMAT, "graph": json.dumps(content), "sha256": digest(arrays)}
    write_bytes(encode(arrays, metadata=metadata), Path(path))


def load(path: str | os.PathLike[str]) -> Graph:
    """The graph in the file `path`; raises BadFile in one line where it is not one, is damaged or is illegal."""
    metadata, arrays = read_tensors(Path(path))
    if metadata.get("format") != FORMAT:
        raise BadFile(
            f"{path}: must be a graph file ({FORMAT}), got {metadata.get('format')!r}; write it by `hwsim trace`"
        )
    try:
        content = json.loads(metadata["graph"])
        missing = [name for name in content["constants"] if name not in arrays]
        if missing:
            raise BadFile(f"{path}: tensor {missing[0]!r} is missing; trace the model again")
        if metadata.get("sha256") != digest(arrays):
            raise BadFile(f"{path}: the tensors do not match their digest; the file is damaged, trace the model again")
        constants = {}
        for name, entry in content["constants"].items():
            spec = _spec_in(entry)
            check_codes(name, arrays[name], spec)
            constants[name] = (arrays[name], spec)
        return build(
            content["name"],
            {name: _spec_in(entry) for name, entry in content["inputs"].items()},
            constants,
            [Node(n["name"], _op_in(n["op"], n["attributes"]), tuple(n["inputs"])) for n in content["nodes"]],
            content["outputs"],
            content["meta"],
        )
    except BadFile:
        raise
    except HwsimError as error:
        raise BadFile(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadFile(f"{path}: the graph cannot be read, got {error!r}; trace the model again") from None


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, Array]]:
    """Metadata and tensors of a safetensors file; raises BadFile where it cannot be read."""
    if not path.is_file():
        raise BadFile(f"{path}: no such file; check the path")
    try:
        with safe_open(str(path), framework="numpy") as file:
            return dict(file.metadata() or {}), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise BadFile(f"{path}: must be a whole safetensors file, got {reason!r}; make it again") from None


def digest(arrays: Mapping[str, Array]) -> str:
    """SHA-256 over names, types, shapes and bytes of `arrays` in order of name."""
    sha = hashlib.sha256()
    for name in sorted(arrays):
        array = np.array(arrays[name], order="C", copy=None)
        sha.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def check_codes(name: str, array: Array, spec: TensorSpec) -> None:
    """Raise BadFile unless a constant's values are what its spec says: finite floats, or codes within their range."""
    if spec.quant is None:
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise BadFile(
                f"{name}: a float constant must be finite, got NaN, infinity or {array.dtype}; export it again"
            )
        return
    if array.dtype.kind not in "iu":
        raise BadFile(f"{name}: codes must be integers, got {array.dtype}; export it again")
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    if low < spec.quant.qmin or high > spec.quant.qmax:
        raise BadFile(
            f"{name}: codes must be in {spec.quant.qmin}..{spec.quant.qmax}, got {low}..{high}; export it again"
        )


def _spec_out(spec: TensorSpec) -> dict[str, Any]:
    return {"shape": spec.shape, "batched": spec.batched, "format": _format_out(spec.quant)}


def _spec_in(entry: Mapping[str, Any]) -> TensorSpec:
    return TensorSpec(tuple(entry["shape"]), _format_in(entry["format"]), entry["batched"])


def _format_out(quant: IntegerSpec | None) -> dict[str, Any] | None:
    if quant is None:
        return None
    kind = "quant" if isinstance(quant, QuantSpec) else "bipolar"
    return {"grid": kind, **dataclasses.asdict(quant)}


def _format_in(entry: Mapping[str, Any] | None) -> IntegerSpec | None:
    if entry is None:
        return None
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items() if key != "grid"}
    quant: IntegerSpec = SPECS[entry["grid"]](**fields)
    return quant


def _attributes_out(op: Op) -> dict[str, Any]:
    return {
        key: _format_out(value) if isinstance(value, QuantSpec | BipolarSpec) else value
        for key, value in op_attributes(op).items()
    }


def _op_in(name: str, attributes: Mapping[str, Any]) -> Op:
    fields: dict[str, Any] = {}
    for key, value in attributes.items():
        fields[key] = (
            _format_in(value) if isinstance(value, dict) else tuple(value) if isinstance(value, list) else value
        )
    op: Op = catalog.find("hwsim.ops", name, "operator")(**fields)
    return op
