"""Which tier of kernels this process uses: the fastest that the CPU has and that a trial has shown to be right.

The CPU's features are those that Numba compiles for (NUMBA_CPU_NAME and NUMBA_CPU_FEATURES are honoured). Before a tier is
used for the first time, a process of its own tries it (trial.py), because an instruction that the CPU or LLVM does not know
ends a process at once; what came out is kept beside the compiled kernels, for this CPU and this text of the kernels.
HWSIM_KERNELS names another tier: a file of `hwsim/kernels/tiers`, or `vnni` for the better of its two.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from threading import Lock

from hwsim import catalog
from hwsim.errors import BadFile, HwsimError, UnknownName
from hwsim.files import write_text
from hwsim.kernels.kernel import cache_folder, features, target
from hwsim.kernels.tier import Grid, Tier

VARIABLE = "HWSIM_KERNELS"
ORDER = ("amx", "avx512vnni", "avxvnni", "avx2", "portable")
"""Fastest first. The oracle is chosen by name alone."""

UNTRIED = ("portable", "oracle")
"""They have no instructions of their own."""

ALIASES = {"vnni": ("avx512vnni", "avxvnni")}
LASTING = (0, -4, -6, -7, -8, -11)
"""Exit codes whose outcome is kept: done, and the signals that an instruction or LLVM causes. Others have other causes, such
as a permission refused or a process that somebody killed, and are tried again in the next process."""

SILENT = "its trial said nothing"

SECONDS = 600
"""How long a trial may take, most of it compilation."""

_lock = Lock()


@dataclass(frozen=True, slots=True)
class Trial:
    """What a trial of a tier showed: why it cannot be used, or ""; products per second with pairs, relative to without;
    whether bytes are permuted by tables."""

    name: str
    refusal: str = ""
    pairs: float = 0.0
    permutes: bool = False


def tier() -> Tier:
    """The tier of this process; raises HwsimError where HWSIM_KERNELS names one that cannot be used."""
    with _lock:
        return _chosen(os.environ.get(VARIABLE, ""))


def tier_for(left: Grid, right: Grid, depth: int) -> Tier:
    """This process's tier, or the portable one where that cannot take such operands."""
    used = tier()
    return used if used.takes(left, right, depth) else named("portable")


def why() -> str:
    """One line for `hwsim doctor`: the tier of this process, and why not a faster one."""
    used, forced = tier(), os.environ.get(VARIABLE, "")
    pairs = ", pairs of products" if used.pairs else ""
    if forced:
        return f"{used.name}{pairs} ({VARIABLE}={forced})"
    passed = [
        f"{trial.name}: {trial.refusal}" for trial in trials() if ORDER.index(trial.name) < ORDER.index(used.name)
    ]
    return f"{used.name}{pairs} ({'; '.join(passed) or 'the fastest there is'})"


def usable() -> list[str]:
    """Tiers that this machine can run, fastest first, the oracle last."""
    return [*(trial.name for trial in trials() if not trial.refusal), "portable", "oracle"]


def trials(progress: Callable[[int, int], None] | None = None) -> list[Trial]:
    """Of every tier that needs one, fastest first; each takes seconds on a machine that has not seen these kernels."""
    names = [name for name in ORDER if name not in UNTRIED]
    made = []
    for done, name in enumerate(names, 1):
        made.append(_trial(name))
        if progress:
            progress(done, len(names))
    return made


@cache
def named(name: str) -> Tier:
    """The tier `name`, tried where that is needed; raises HwsimError where it cannot be used here."""
    kind = kind_of(name)
    if name in UNTRIED:
        return kind()
    trial = _trial(name)
    if trial.refusal:
        raise HwsimError(f"{VARIABLE}: this machine must have the tier, got {name} ({trial.refusal}); unset it")
    made = kind()
    made.pairs = made.pairable and trial.pairs > 1
    made.permutes = made.permutable and trial.permutes
    return made


def kind_of(name: str) -> type[Tier]:
    """The class of the tier `name`; raises UnknownName."""
    try:
        kind: type[Tier] = catalog.find("hwsim.kernels.tiers", name)
    except UnknownName:
        raise catalog.unknown(VARIABLE, name, (*catalog.names("hwsim.kernels.tiers"), *ALIASES)) from None
    return kind


@cache
def _chosen(wanted: str) -> Tier:
    candidates = ALIASES.get(wanted, (wanted,)) if wanted else ORDER
    for name in candidates[:-1]:
        with suppress(HwsimError):  # also of a system that refuses now what it granted to the trial
            return named(name)
    return named(candidates[-1])


@cache
def _trial(name: str) -> Trial:
    """From the file that an earlier one left, or made now in a process of its own."""
    kind = kind_of(name)
    have = features()
    if not any(have.issuperset(wanted) for wanted in kind.features):
        return Trial(name, "the CPU lacks " + " and ".join(w for w in kind.features[0] if w not in have))
    try:
        kind()
    except HwsimError as error:
        return Trial(name, str(error))
    file = cache_folder() / f"trial-{name}-{target()}.json"
    kept = _kept(file)
    if kept:
        return kept
    if sys.stderr is not None and sys.stderr.isatty():
        print(f"compiling and trying the kernels of {name}, once on this machine ...", file=sys.stderr)
    paths = [path for path in sys.path if path]  # the child finds hwsim where this process did
    environment = {**os.environ, VARIABLE: name, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable or "python", "-m", "hwsim.kernels.trial", name]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Trial(name, f"its trial did not end ({type(error).__name__})")
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    said = (done.stdout.strip().splitlines() or [""])[-1]
    trial = _parsed(said) if done.returncode == 0 else Trial(name, f"its trial failed ({last})")
    trial = trial or Trial(name, SILENT)
    if done.returncode not in LASTING or trial.refusal == SILENT:
        return trial
    with contextlib.suppress(BadFile):  # else it is tried again in the next process
        write_text(json.dumps(asdict(trial)) + "\n", file)
    return trial


def _kept(file: Path) -> Trial | None:
    try:
        return _parsed(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _parsed(text: str) -> Trial | None:
    try:
        return Trial(**json.loads(text))
    except (ValueError, TypeError):
        return None
