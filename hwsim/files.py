"""Files are written whole or not at all: under a temporary name in the same folder, which is then renamed."""

import contextlib
import os
import tempfile
from pathlib import Path

from hwsim.errors import BadFile


def write_text(text: str, path: Path) -> None:
    """Write `text` to `path` by way of a temporary name in the same folder."""
    write_bytes(text.encode("utf-8"), path)


def write_bytes(data: bytes, path: Path) -> None:
    """Write `data` to `path` by way of a temporary name in the same folder; raises BadFile where that cannot be done."""
    temporary = path.parent / f".{path.name}.{os.getpid()}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        raise BadFile(f"{path}: cannot be written, got {error.strerror or error}; choose another place") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def check_writable(path: Path) -> None:
    """Raise BadFile unless a file can be made at `path`: ask before the long work, not after it."""
    existing = path
    try:
        while not existing.exists():
            existing = existing.parent
    except OSError as error:  # a name that is too long
        raise BadFile(f"{path}: cannot be written, got {error.strerror}; choose another place") from None
    if path.is_dir():
        raise BadFile(f"{path}: must be a file to write, got a folder; name a file in it")
    if existing != path and not existing.is_dir():
        raise BadFile(f"{path}: cannot be written, got {existing}, which is no folder; choose another place")
    try:  # asking for permission is not enough: a place may be read-only, or no real folder at all
        with tempfile.TemporaryFile(dir=existing if existing.is_dir() else existing.parent):
            pass
    except OSError as error:
        raise BadFile(f"{path}: cannot be written, got {error.strerror or error}; choose another place") from None


def check_folder(path: Path) -> None:
    """Raise BadFile unless files can be made in the folder `path`, which need not exist yet."""
    if os.path.exists(path) and not os.path.isdir(path):
        raise BadFile(f"{path}: cannot be written, got a file where a folder is needed; choose another folder")
    check_writable(path / "report")
