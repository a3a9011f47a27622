"""What a figure holds for: the machine, and the versions of everything that was timed."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("numpy", "numba", "llvmlite", "torch", "timm", "onnx", "onnxruntime")


def facts() -> dict[str, str]:
    """CPU, cores, memory, Python and packages."""
    found = {"cpu": cpu(), "cores": str(os.cpu_count()), "memory_gib": f"{memory() / 2**30:.0f}"}
    found |= {"system": platform.system(), "python": platform.python_version()}
    return found | {name: version(name) for name in PACKAGES}


def cpu() -> str:
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    values = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    fields = {key.strip(): value.strip() for key, value in values.items()}
    numbers = f"family {fields.get('cpu family', '?')}, model {fields.get('model', '?')}"
    return f"{fields.get('model name', platform.machine())} ({numbers})"


def memory() -> int:
    """Bytes of main memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
