"""Measures what BENCHMARKS.md states: `make bench`, or one part with options of its own.

    python benchmarks/run.py [trace] [cost] [accel] [gemm] [models] [train] [--models NAME ...] [--rounds N] [--batch N]
        [--threads N ...]

Tables go to stdout, progress to stderr, everything as JSON to the output folder. All figures are core-seconds (user and
system time of all threads) of warm processes (of whole ones in part cost), taken in turns; a time is the median over the
rounds, and a ratio the median of each round's ratio.
"""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import accel_cases
import cost_cases
import gemm_cases
import machine
import model_cases
import ours
import trace_cases
import train_cases

PARTS = ("trace", "cost", "accel", "gemm", "models", "train")


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all of them by default")
    parser.add_argument("--models", nargs="+", help="models by name; each part has its own default")
    parser.add_argument("--widths", nargs="+", default=model_cases.WIDTHS, help="part models: w4a4, w8a8")
    parser.add_argument("--rounds", type=int, default=5, help="part cost, gemm, models, train: 5 by default")
    parser.add_argument(
        "--batch", type=int, help="part models: images at once; 32 by default, of DeiT-B 8, of Swin-T 16"
    )
    parser.add_argument("--threads", type=int, nargs="+", default=(1, 2), help="part models: 1 and 2 by default")
    parser.add_argument("--tiers", nargs="+", help="kernel tiers; all that the machine has by default")
    parser.add_argument("--qonnx-python", default="", help="part cost: a Python that has qonnx; left out by default")
    parser.add_argument("--no-compile", action="store_true", help="part models, train: leave torch.compile out")
    parser.add_argument("--out", type=Path, default=Path("out/bench"), help="folder for JSON, graphs and ONNX files")
    options = parser.parse_args(arguments)
    for part in options.parts:
        if part not in PARTS:
            parser.error(f"PART must be one of {', '.join(PARTS)}, got {part}")
    if 1 not in options.threads:
        parser.error(f"--threads must contain 1, got {options.threads}; the others are compared with it")
    return options


def say(text: str) -> None:
    """Progress."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def show(title: str, rows: Sequence[Sequence[str]]) -> None:
    """A table in Markdown, its first row the heading."""
    columns = max(len(row) for row in rows)
    padded = [[*row, *[""] * (columns - len(row))] for row in rows]
    sizes = [max(len(row[i]) for row in padded) for i in range(columns)]
    aligned = [
        "| "
        + " | ".join(
            cell.ljust(n) if i == 0 else cell.rjust(n) for i, (cell, n) in enumerate(zip(row, sizes, strict=True))
        )
        + " |"
        for row in padded
    ]
    rule = "|" + "|".join("-" * (n + 1) + ("-" if i == 0 else ":") for i, n in enumerate(sizes)) + "|"
    print(f"\n### {title}\n", *[aligned[0], rule, *aligned[1:]], sep="\n", flush=True)


def keep(folder: Path, name: str, content: Any) -> None:
    """`content` and the machine as JSON in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"machine": machine.facts(), "result": content}, indent=1)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def trace(options: argparse.Namespace) -> None:
    """Part `trace`."""
    results = trace_cases.run_traces(options.models or trace_cases.MODELS)
    keep(options.out, "trace", results)
    show("Tracing, W4A4", trace_cases.table(results))


def cost(options: argparse.Namespace) -> None:
    """Part `cost`."""
    for model in options.models or (cost_cases.MODEL,):
        found = cost_cases.run_cost(model, options.rounds, options.out, options.qonnx_python, say)
        keep(options.out, f"cost_{model}", {k: [dataclasses.asdict(run) for run in runs] for k, runs in found.items()})
        show(f"Cost of {model} at W4A4, a fresh process", cost_cases.table(found))
    tallies = cost_cases.run_tallies()
    keep(options.out, "tally", tallies)
    show(f"One more configuration of {cost_cases.TALLIED}, traced", cost_cases.tally_table(tallies))


def accel(options: argparse.Namespace) -> None:
    """Part `accel`."""
    found, whole = accel_cases.run_accel(options.out, say)
    keep(options.out, "accel", {**found, "estimate": dataclasses.asdict(whole)})
    show(f"Estimates of {accel_cases.MODEL}, W4A4, on {accel_cases.MACHINE}", accel_cases.table_of(found, whole))


def gemm(options: argparse.Namespace) -> None:
    """Part `gemm`."""
    result = gemm_cases.run_ladder(options.tiers or ours.tiers(), options.rounds, say)
    keep(options.out, "gemm", result.json())
    for title, rows in gemm_cases.tables(result).items():
        show(f"Products of DeiT-S, one core: {title}", rows)


def models(options: argparse.Namespace) -> None:
    """Part `models`."""
    tiers = tuple(options.tiers or ours.tiers())
    for model in options.models or model_cases.MODELS:
        settings = model_cases.Settings(
            options.batch or model_cases.BATCHES.get(model, model_cases.BATCH),
            options.rounds,
            tuple(options.threads),
            tuple(options.widths),
            tiers,
            not options.no_compile,
            options.out,
        )
        result, choice = model_cases.run_model(model, settings, say)
        keep(options.out, model, {**result.json(), **choice, "batch": settings.batch})
        for width in settings.widths:
            for threads in settings.threads:
                title = f"{model}, {width}, batch {settings.batch}, {model_cases.name('', threads)}"
                show(title, model_cases.rows(result, settings, width, threads))
        if {"w4a4", "w8a8"} <= set(settings.widths):
            show(f"{model}, widths", model_cases.width_ratios(result, settings))
        different = model_cases.disagreements(result, settings.widths)
        print(f"\nIntegers that differ between tiers or thread counts: {', '.join(different) or 'none'}")
        for case, reason in result.skipped.items():
            print(f"Left out: {case}: {reason.strip().splitlines()[-1]}")


def train(options: argparse.Namespace) -> None:
    """Part `train`."""
    found = train_cases.run_steps(options.rounds, say, not options.no_compile)
    keep(options.out, "train", found)
    show("Training the digits, batch 64, one thread", train_cases.table(found))


def main() -> None:
    """Run the parts that were asked for."""
    options = parsed()
    print(*(f"{key:12} {value}" for key, value in machine.facts().items()), sep="\n")
    for part in options.parts or PARTS:
        run = {"trace": trace, "cost": cost, "accel": accel, "gemm": gemm, "models": models, "train": train}
        run[part](options)


if __name__ == "__main__":
    main()
