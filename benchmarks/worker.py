"""One process that holds cases and runs them when told: JSON lines in, JSON lines out; started by `pairs`.

    {"do": "make", "name": N, "make": "module:function", "arguments": {...}, "warm": W}  ->  {"note": text or null}
    {"do": "run", "name": N}  ->  {"cpu": core-seconds (user + system, of all threads), "wall": seconds}
    {"do": "memory"}  ->  {"peak_mb": MB}

`make` calls function(**arguments), which gives a function without arguments, and calls that W times. An attribute `note`
of it, a string, goes into the answer. Where a case cannot run here, its maker raises Skip, answered {"skip": reason};
any other error is answered {"error": text}.
"""

import importlib
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any


class Skip(Exception):
    """A case that cannot run on this machine; the message says why."""


def measured(call: Callable[[], object]) -> dict[str, float]:
    """Core-seconds and seconds of one call; its result is thrown away outside of the timing."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    times = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    del result
    return times


def made(order: dict[str, Any]) -> Callable[[], object]:
    """The case that `order` asks for, warmed up."""
    module, function = order["make"].split(":")
    call: Callable[[], object] = getattr(importlib.import_module(module), function)(**order["arguments"])
    for _ in range(order["warm"]):
        call()
    return call


def answer(order: dict[str, Any], cases: dict[str, Callable[[], object]]) -> dict[str, Any]:
    """What `order` is answered with."""
    if order["do"] == "memory":
        return {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    if order["do"] == "run":
        return measured(cases[order["name"]])
    try:
        cases[order["name"]] = made(order)
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent reports it
        kind = "skip" if type(error).__name__ == "Skip" else "error"
        return {kind: str(error) if kind == "skip" else traceback.format_exc()}
    return {"note": getattr(cases[order["name"]], "note", None)}


def main() -> None:
    """Answer orders until there are none. Whatever libraries print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    cases: dict[str, Callable[[], object]] = {}
    for line in sys.stdin:
        answers.write(json.dumps(answer(json.loads(line), cases)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
