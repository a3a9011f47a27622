"""Part `models`: whole models, ours in both forms on every tier, beside torch and ONNX Runtime, in one interleaved run.

For each model, the variants of a competitor (competitors.py, ort_models.py) first run against each other, and the best
takes part. Then all cases of the model, both widths and all thread counts, run in turns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ort_models
import ours
import pairs
from competitors import KEEP_MEMORY
from pairs import Case, Result, Say

MODELS = (
    "deit_tiny_patch16_224",
    "deit_small_patch16_224",
    "deit_base_patch16_224",
    "swin_tiny_patch4_window7_224",
)
WIDTHS = ("w4a4", "w8a8")
BATCH, BATCHES = 32, {"deit_base_patch16_224": 8, "swin_tiny_patch4_window7_224": 16}
"""Images at once; fewer of a model whose rounds would take minutes each, or all of whose cases more than 24 GiB."""
TRIAL_ROUNDS = 3
FLOAT, FAKE, COMPILED, ORT = "torch float32", "torch fake quant", "torch fake quant compiled", "ORT"
FLOATS: Mapping[str, Mapping[str, bool]] = {
    "unfused": {},
    "fused": {"fused": True},
    "fused, channels last": {"fused": True, "channels_last": True},
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What to run: see `run.py --help`."""

    batch: int
    rounds: int
    threads: tuple[int, ...]
    widths: tuple[str, ...]
    tiers: tuple[str, ...]
    compiled: bool
    folder: Path


def name(engine: str, threads: int, width: str = "") -> str:
    """The name of a case: `torch fake quant, w4a4, 1 thread`."""
    return ", ".join(filter(None, (engine, width, f"{threads} thread{'s' * (threads > 1)}")))


def run_model(model: str, settings: Settings, say: Say) -> tuple[Result, dict[str, Any]]:
    """All cases of `model`, and what was chosen of each competitor, with the figures of that choice."""
    say(f"{model}: making graphs and ONNX files")
    files = ort_models.prepare(model, settings.folder)
    graphs = {width: ours.prepare(f"{model}_{width}", settings.folder / "graphs") for width in settings.widths}
    chosen, trials = choose(model, files, settings, say)
    say(f"{model}: chosen {', '.join(chosen.values())}")
    cases = competitor_cases(model, chosen, files, settings)
    for tier in settings.tiers:
        alone = {"HWSIM_KERNELS": tier, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        for width, forms in graphs.items():
            for form, path in forms.items():
                for threads in settings.threads:
                    arguments = {"path": str(path), "batch": settings.batch, "threads": threads}
                    case = name(f"hwsim {tier} {form}", threads, width)
                    cases.append(Case(case, "ours:simulated", arguments, f"hwsim {tier}", alone))
    return pairs.run(cases, settings.rounds, say=say), {"chosen": chosen, "trials": trials}


def choose(
    model: str, files: Mapping[str, Path], settings: Settings, say: Say
) -> tuple[dict[str, str], dict[str, Any]]:
    """The best variant by kind (torch float32, ORT dynamic, ORT static), on one thread."""
    say(f"{model}: choosing the competitors' variants")
    torch_cases = [
        Case(
            variant,
            "competitors:torch_float",
            {"model": model, "batch": settings.batch, "threads": 1, **options},
            "torch",
            torch_environment(settings),
        )
        for variant, options in FLOATS.items()
    ]
    onnx_cases = [
        Case(f, "competitors:onnx", {"path": str(path), "batch": settings.batch, "threads": 1}, f, KEEP_MEMORY)
        for f, path in files.items()
        if f != "float"
    ]
    results = {}
    chosen = {}
    for kind, cases in (
        (FLOAT, torch_cases),
        (f"{ORT} dynamic", [c for c in onnx_cases if c.name.startswith("dynamic")]),
        (f"{ORT} static", [c for c in onnx_cases if c.name.startswith("static")]),
    ):
        result = pairs.run(cases, min(TRIAL_ROUNDS, settings.rounds), say=say)
        best = result.least([c.name for c in cases])
        results[kind] = result.json()
        if best is not None:
            chosen[kind] = best
    return chosen, results


def torch_environment(settings: Settings) -> dict[str, str]:
    """As many OpenMP threads as any case wants; each case sets its own number."""
    return {**KEEP_MEMORY, "OMP_NUM_THREADS": str(max(settings.threads))}


def competitor_cases(
    model: str, chosen: Mapping[str, str], files: Mapping[str, Path], settings: Settings
) -> list[Case]:
    """Cases of torch and ONNX Runtime, each kind in a worker of its own."""
    environment, cases = torch_environment(settings), []
    for threads in settings.threads:
        common = {"batch": settings.batch, "threads": threads}
        floats = {"model": model, **common, **FLOATS[chosen[FLOAT]]}
        cases.append(Case(name(FLOAT, threads), "competitors:torch_float", floats, "torch", environment))
        for width in settings.widths:
            fake = {"workload": f"{model}_{width}", **common}
            cases.append(Case(name(FAKE, threads, width), "competitors:fake_quant", fake, "torch", environment))
            if settings.compiled and threads == 1:
                fused = {**fake, "compiled": True}
                case = name(COMPILED, threads, width)
                cases.append(Case(case, "competitors:fake_quant", fused, "compiled", environment))
        for kind in (f"{ORT} float32", f"{ORT} dynamic", f"{ORT} static"):
            file = files[chosen.get(kind, "float")]
            for spin in (False, True) if threads > 1 else (False,):
                options = {"path": str(file), **common, "spin": spin}
                case = name(kind + " spinning" * spin, threads)
                cases.append(Case(case, "competitors:onnx", options, "ort", KEEP_MEMORY))
    return cases


def rows(result: Result, settings: Settings, width: str, threads: int) -> list[list[str]]:
    """The table of one width and thread count, fastest last; first row the heading."""
    best = result.least(
        [n for n in result.times if n.startswith((f"{ORT} dynamic", f"{ORT} static")) and of(n, threads)]
    )
    references = (name(FAKE, threads, width), name(FLOAT, threads), best)
    table = [
        ["", "core-ms/image", "images/core-s", "x fake quant", "x float32", "x best ORT int8", "core-s, to 1 thread"]
    ]
    shown = [n for n in result.times if of(n, threads) and (f", {width}," in n or ", w" not in n)]
    for case in sorted(shown, key=lambda n: -result.times[n].core_seconds):
        per_image = result.times[case].core_seconds / settings.batch
        ratios = [result.ratio(reference, case) if reference else None for reference in references]
        alone = (
            result.ratio(case, case.replace(f"{threads} threads", "1 thread").replace(" spinning", ""))
            if threads > 1
            else None
        )
        mark = " *" if case == best else ""
        table.append([case + mark, f"{1000 * per_image:.1f}", f"{1 / per_image:.1f}", *map(times, [*ratios, alone])])
    return table


def of(case: str, threads: int) -> bool:
    """Whether the case ran on so many threads."""
    return case.endswith(name("", threads))


def times(ratio: float | None) -> str:
    """A ratio as text."""
    return "" if ratio is None else f"{ratio:.2f}"


def width_ratios(result: Result, settings: Settings) -> list[list[str]]:
    """W8A8 / W4A4, of each form and tier."""
    table = [["", "w8a8 / w4a4"]]
    for tier in settings.tiers:
        for form in ours.FORMS:
            for threads in settings.threads:
                engine = f"hwsim {tier} {form}"
                ratio = result.ratio(name(engine, threads, "w8a8"), name(engine, threads, "w4a4"))
                table.append([name(engine, threads), times(ratio)])
    return table


def disagreements(result: Result, widths: Sequence[str]) -> list[str]:
    """Forms and widths whose integers are not the same in every tier and for every number of threads; none, one hopes."""
    found = []
    for width in widths:
        for form in ours.FORMS:
            notes = {t.note for n, t in result.times.items() if n.startswith("hwsim ") and f" {form}, {width}," in n}
            if len(notes) > 1:
                found.append(f"{form}, {width}")
    return found
