"""Part `train`: what a training step costs, float and quantized, and what torch.compile brings.

A case is a training of the digits with batch 64, one thread. All are set up first; then each takes STEPS steps in turn,
ROUNDS times. Figures are core-seconds of this process per step; ratios are medians over the rounds. An epoch has 20 steps.
"""

import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

STEPS = 10
EPOCH_STEPS = 20
LABELS = {"distillation": "0", "dgd": "0"}
CASES: dict[str, tuple[str, str, dict[str, str], bool]] = {
    "float, labels": ("digits_deit_w32a32", "lsq", LABELS, False),
    "float, labels, compiled": ("digits_deit_w32a32", "lsq", LABELS, True),
    "lsq W4A4, labels": ("digits_w4a4", "lsq", LABELS, False),
    "lsq W4A4, labels, compiled": ("digits_w4a4", "lsq", LABELS, True),
    "lsq W4A4, distillation": ("digits_w4a4", "lsq", {}, False),
    "qvit W4A4 (IRM, DGD)": ("digits_w4a4", "qvit", {}, False),
    "qvit W2A2 (IRM, DGD)": ("digits_w2a2", "qvit", {}, False),
    "vvtq W4A4 (crops)": ("digits_w4a4", "vvtq", {}, False),
}
BASE = "float, labels"


def run_steps(rounds: int, say: Any, compiled: bool = True) -> dict[str, list[float]]:
    """Core-seconds per step of each case, one figure per round."""
    import torch

    from qmodels.training import metrics, parallel, settings
    from qmodels.training.engine import Places, Training

    torch.set_num_threads(1)
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        trainings = {}
        for name, (workload, method, changes, compile_it) in CASES.items():
            if compile_it and not compiled:
                continue
            say(f"train: {name}")
            chosen = settings.resolve(workload, method=method, changes={"images": "640", **changes})
            group = stack.enter_context(parallel.started(chosen.recipe))
            made = Training(chosen, Places(Path(folder) / "out"), group, metrics.silent, ())
            stack.enter_context(made.listening())
            if compile_it:
                made.wrapped = torch.compile(made.model)
            made.wrapped.train()
            trainings[name] = made
            _steps(made)  # warm, and compiled
        for number in range(rounds):
            say(f"train: round {number + 1} of {rounds}")
            for name, made in trainings.items():
                found.setdefault(name, []).append(_steps(made))
    return found


def _steps(training: Any) -> float:
    """Core-seconds per step, over STEPS of them, images and augmentation included."""
    start = time.process_time()
    for batch in training.feed.rest_of_epoch():
        training.step(batch)
        training.place.batch += 1
    training.place.batch = 0
    return (time.process_time() - start) / STEPS


def table(found: dict[str, list[float]]) -> list[list[str]]:
    """A row per case."""
    rows = [["", "step [ms]", "epoch [s]", "of float"]]
    for name, seconds in found.items():
        ratio = statistics.median(a / b for a, b in zip(seconds, found[BASE], strict=True))
        middle = statistics.median(seconds)
        rows.append([name, f"{1000 * middle:.0f}", f"{EPOCH_STEPS * middle:.1f}", f"{ratio:.2f}"])
    return rows
