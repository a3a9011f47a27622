"""Peak memory of a piece of work in this process: the most bytes that were resident while it ran.

Linux counts the peak (VmHWM) and starts again when asked to (`/proc/self/clear_refs`), so that each of several pieces has
one of its own. Where that cannot be done, the peak is that of the whole process so far (`exact` is False). What earlier work
left behind is given back to the system first; Python, torch and the images in memory are part of the peak, so `before` says
what was resident when the work began.
"""

import ctypes
import gc
import re
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET = "5"
"""What, written to clear_refs, makes the present size the peak."""


@dataclass(slots=True)
class Peak:
    """`bytes` at most, set when the work is done; `before` bytes when it began."""

    before: int = 0
    bytes: int = 0
    exact: bool = True


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """Within, the work whose peak is asked for."""
    gc.collect()
    _give_back()
    peak = Peak()
    try:
        _CLEAR.write_text(_RESET)
        peak.before = _status("VmHWM")
    except OSError:
        peak.before, peak.exact = _process_peak(), False
    yield peak
    peak.bytes = _status("VmHWM") if peak.exact else _process_peak()


def _give_back() -> None:
    """Return memory that glibc keeps for later to the system."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _status(key: str) -> int:
    match = re.search(rf"^{key}:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    if match is None:
        raise OSError(f"{_STATUS}: has no {key}")
    return 1024 * int(match[1])


def _process_peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
