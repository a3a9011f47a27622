"""The one place that fixes how kernels are compiled: lazily, cached, without the GIL, with NumPy's error model.

Use it by assignment at module level (`quantize = kernel(_quantize)`), so that the plain function stays testable and the
on-disk cache is hit. Kernels take flat arrays, never raise or print, and compute exact integers: their accumulator's
width was proven before they run (S3). `fastmath` is never set: floats must stay IEEE; but what is only guessed
(float_guess) may be `fused`, a product and a sum rounded once where the CPU can.

The cache is keyed by the signature, by the CPU's name and features as Numba reports them, and by the text of all of
`hwsim/kernels`: another CPU never gets this one's code, and a kernel that calls another, or an intrinsic, is compiled
again when that changes (Numba itself looks at the calling file alone).
"""

import hashlib
import types
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numba
from numba.core.caching import FunctionCache
from numba.core.registry import cpu_target

P = ParamSpec("P")
R = TypeVar("R")


class KernelCache(FunctionCache):  # type: ignore[misc]
    """Numba's cache on disk, keyed by the text of all kernels too."""

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(sig, codegen), sources())


@cache
def sources() -> str:
    """A hash of the text of every file of `hwsim/kernels`."""
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        digest.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def kernel(function: Callable[P, R], fused: bool = False) -> Callable[P, R]:
    """`function` compiled by Numba at its first call."""
    return _compiled(function, False, fused)


def inline_kernel(function: Callable[P, R], fused: bool = False) -> Callable[P, R]:
    """The same, and written out wherever another kernel calls it: for the scalar functions of a loop that vectorises."""
    return _compiled(function, True, fused)


def bound(function: Callable[P, R], name: str, seen: dict[str, Any]) -> Callable[P, R]:
    """A copy of `function` with other globals, which is cached under a name of its own."""
    copied = types.FunctionType(function.__code__, {**function.__globals__, **seen}, function.__name__)
    copied.__qualname__ = f"{function.__name__}_{name}"
    copied.__module__ = function.__module__
    return copied


def _compiled(function: Callable[P, R], inline: bool, fused: bool) -> Callable[P, R]:
    flags: Any = {"contract"} if fused else False
    compiled: Any = numba.njit(nogil=True, error_model="numpy", forceinline=inline, fastmath=flags)(function)
    compiled._cache = KernelCache(function)
    result: Callable[P, R] = compiled
    return result


def cpu() -> str:
    """The name of the CPU that Numba compiles for."""
    name: str = cpu_target.target_context.codegen().magic_tuple()[1]
    return name


def features() -> frozenset[str]:
    """The features that Numba compiles for, in LLVM's names."""
    listed = cpu_target.target_context.codegen().magic_tuple()[2].split(",")
    return frozenset(feature[1:] for feature in listed if feature.startswith("+"))


def target() -> str:
    """A short hash of what compiled kernels depend on: their text, Numba, and the CPU that it compiles for."""
    parts = (sources(), numba.__version__, cpu_target.target_context.codegen().magic_tuple())
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def cache_folder() -> Path:
    """Where compiled kernels are kept; NUMBA_CACHE_DIR moves it, and so does a folder that cannot be written."""
    folder: str = KernelCache(sources.__wrapped__).cache_path
    return Path(folder)
