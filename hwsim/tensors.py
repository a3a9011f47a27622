"""Tensors on disk: safetensors with a format, text metadata and a digest; .npy and .npz for plain arrays. Never pickle.

A digest over all of it is stored, because safetensors itself notices a cut file but not a flipped bit.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from hwsim.errors import BadFile
from hwsim.files import write_bytes
from hwsim.op import Array

KEY = "hwsim"
"""All metadata is one JSON text under this key: with several keys, safetensors would write them in any order."""


def write_tensors(tensors: Mapping[str, Array], metadata: Mapping[str, str], form: str, path: Path) -> None:
    """Write `tensors` and `metadata` as a file of the format `form`, whole or not at all."""
    arrays = {name: np.array(tensor, order="C", copy=None) for name, tensor in tensors.items()}
    said = {**metadata, "format": form}
    text = json.dumps({**said, "sha256": digest(arrays, said)}, sort_keys=True)
    write_bytes(safetensors.numpy.save(arrays, metadata={KEY: text}), path)


def read_tensors(path: Path, form: str, remedy: str) -> tuple[dict[str, Array], dict[str, str]]:
    """Tensors and metadata of a file that `write_tensors` wrote in the format `form`.

    Raises BadFile, ending in the `remedy`, where the file is missing, cut, no safetensors, of another format, damaged,
    or holds a number that is not finite.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise BadFile(f"{path}: must be a file of format {form}, got {reason}; {remedy}") from None
    metadata = _metadata(data, path, remedy)
    if metadata.get("format") != form:
        raise BadFile(f"{path}: must be a file of format {form}, got {metadata.get('format', 'no format')}; {remedy}")
    try:
        tensors = safetensors.numpy.load(data)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise BadFile(f"{path}: is a damaged safetensors file, got {error}; {remedy}") from None
    for name, tensor in sorted(tensors.items()):
        bad = np.argwhere(~np.isfinite(tensor))
        if len(bad):
            where = [int(i) for i in bad[0]]
            raise BadFile(f"{path}: values must be finite, got {tensor[tuple(where)]} in {name} at {where}; {remedy}")
    wanted = metadata.pop("sha256", "none")
    got = digest(tensors, metadata)
    if got != wanted:
        raise BadFile(f"{path}: must have sha256 {wanted[:12]}, got {got[:12]}; the file is damaged, {remedy}")
    return tensors, {**metadata, "sha256": wanted}


def digest(tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> str:
    """SHA-256 over the metadata and name, type, shape and bytes of each tensor, sorted by name, in hexadecimal."""
    state = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        state.update(f"{name} {tensor.dtype.str} {tensor.shape}\n".encode())
        state.update(tensor.tobytes())
    return state.hexdigest()


def read_array(path: Path) -> Array:
    """The array in a .npy file; raises BadFile where it is not one, or holds Python objects."""
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise BadFile(f"{path}: must be a .npy file of numbers, got {reason}; write it by numpy.save") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise BadFile(f"{path}: must be a .npy file of numbers, got another kind; write one array by numpy.save")
    return array


def write_arrays(arrays: Mapping[str, Array], path: Path) -> None:
    """Write `arrays` as a .npz file, whole or not at all."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            entry = io.BytesIO()
            np.save(entry, array, allow_pickle=False)
            archive.writestr(f"{name}.npy", entry.getvalue())
    write_bytes(buffer.getvalue(), path)


def _metadata(data: bytes, path: Path, remedy: str) -> dict[str, str]:
    """The metadata in a safetensors header: 8 bytes of length, JSON, then the tensors' bytes; tells cut from foreign."""
    length = int.from_bytes(data[:8], "little")
    try:
        if len(data) < 9 or data[8:9] != b"{":
            raise ValueError
        if length > len(data) - 8:
            raise BadFile(f"{path}: is truncated, header must have {length} bytes, got {len(data) - 8}; {remedy}")
        header = json.loads(data[8 : 8 + length])
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        size = max((int(end) for end in ends), default=0)
        metadata = json.loads(header.get("__metadata__", {}).get(KEY, "{}"))
        metadata = {str(key): str(value) for key, value in metadata.items()}
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
        raise BadFile(f"{path}: must be a safetensors file, got {data[:4]!r} at its start; {remedy}") from None
    if len(data) - 8 - length < size:
        raise BadFile(f"{path}: is truncated, tensors must have {size} bytes, got {len(data) - 8 - length}; {remedy}")
    return metadata
