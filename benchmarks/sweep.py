"""Which of timm's architectures trace, and whether our multiply-accumulates are PyTorch's.

Each architecture is built without numbers (on the meta device), at the image size of its default configuration, and
traced with quantizers at W4A4; where that is refused, as the float model. Its MACs must equal half of what PyTorch's
FlopCounterMode counts in one forward of timm's own float model without fused attention, exactly. What that counts of
constants (the position networks of Swin V2, which see no image) is done once when tracing, and is set beside.

Results go to FILE, one JSON line per architecture; a run that is begun again goes on behind the last one.

    python benchmarks/sweep.py [PATTERN ...] [--jobs N] [--json FILE] [--page docs/models.md]
"""

import argparse
import fnmatch
import gc
import json
import multiprocessing
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FAMILIES = ("vit_*", "deit*", "swin*")
USUAL = 224
OUTCOMES = ("equal", "different", "refused")


def examine(name: str) -> dict[str, Any]:
    """One architecture's row: `outcome`, `macs` ours, `folded` of constants, `counted` by PyTorch, `why` where not equal."""
    warnings.simplefilter("ignore")
    import torch

    import workloads
    from hwsim.cost import tally
    from hwsim.errors import HwsimError
    from qmodels import evidence, models

    torch.set_num_threads(1)
    start, found = time.perf_counter(), workloads.find(f"{name}_w4a4_lsq")
    image = models.image_of(found.model)
    row: dict[str, Any] = {"name": name, "image": image[-1], "traced": "", "why": "", "module": _module(name)}
    row["counted"], row["parameters"] = _counted(name, image)
    for bits in ("w4a4", "w32a32"):
        try:
            graph = evidence.skeleton_of(workloads.find(f"{name}_{bits}_lsq"))
        except HwsimError as error:
            row["why"] = row["why"] or str(error)
            continue
        row |= {"traced": bits, "macs": int(tally(graph, "macs").total), "folded": graph.meta["folded_macs"]}
        break
    row["outcome"] = "refused"
    if row["traced"]:
        missing = row["counted"] - row["macs"] - row["folded"]
        row["outcome"] = "different" if missing else "equal"
        row["why"] = row["why"] or (f"{missing:+,} MACs" if missing else "")
    row["seconds"] = round(time.perf_counter() - start, 2)
    gc.collect()
    return row


def _module(name: str) -> str:
    """Where timm has the architecture."""
    import timm

    return timm.models.model_entrypoint(name).__module__.rsplit(".", 1)[-1]


def _counted(name: str, image: tuple[int, int, int]) -> tuple[int, int]:
    """MACs of one forward of timm's float model, by PyTorch, and its parameters."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from qmodels import models

    with torch.device("meta"):
        model = models.create(name).requires_grad_(False)
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, *image, device="meta"))
    return counter.get_total_flops() // 2, sum(p.numel() for p in model.parameters())


def names(patterns: list[str]) -> list[str]:
    """timm's architectures that match."""
    from qmodels import torchvision_shim  # noqa: F401 - before timm

    # isort: split
    import timm

    return [name for name in timm.list_models() if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]


def sweep(todo: list[str], jobs: int) -> Iterator[dict[str, Any]]:
    """Rows as they come."""
    if jobs == 1:
        yield from map(examine, todo)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(examine, todo)


def page(rows: list[dict[str, Any]]) -> str:
    """What was found, as Markdown."""
    usual = [row for row in rows if row["image"] == USUAL]
    lines = [
        "# Architectures that trace",
        "",
        "Made by `make sweep`; `benchmarks/sweep.py` says what is compared. MACs are those of one image. `Of constants` are",
        "products that see no image (the networks that make position biases): PyTorch repeats them in every forward, a graph",
        "holds what they make. `equal`: both together are half of what PyTorch's `FlopCounterMode` counts.",
        "",
        *_summary(f"At {USUAL} x {USUAL}", usual),
        *_summary("At other sizes", [row for row in rows if row["image"] != USUAL]),
        "## Not equal, or not at W4A4",
        "",
        *([f"- `{row['name']}`: {row['outcome']}, {row['why']}" for row in rows if row["why"]] or ["None."]),
        "",
        "## Every architecture",
        "",
        "| architecture | image | parameters | MACs | of constants | outcome |",
        "|---|---|---|---|---|---|",
        *(_line(row) for row in rows),
    ]
    return "\n".join(lines) + "\n"


def _summary(title: str, rows: list[dict[str, Any]]) -> list[str]:
    """A table of outcomes per module of timm."""
    head = f"| in timm | architectures | {' | '.join(OUTCOMES)} | traced at W4A4 |"
    lines = [f"## {title}", "", head, "|---|---|---|---|---|---|"]
    for module in [*sorted({row["module"] for row in rows}), ""]:
        some = [row for row in rows if module in (row["module"], "")]
        counts = [sum(row["outcome"] == outcome for row in some) for outcome in OUTCOMES]
        quantized = sum(row["traced"] == "w4a4" for row in some)
        lines.append(f"| {module or 'all'} | {len(some)} | {' | '.join(map(str, counts))} | {quantized} |")
    return [*lines, ""]


def _line(row: dict[str, Any]) -> str:
    macs, folded = (f"{row[key]:,}" if row.get(key) else "" for key in ("macs", "folded"))
    return f"| {row['name']} | {row['image']} | {row['parameters']:,} | {macs} | {folded} | {row['outcome']} |"


def main() -> None:
    """Sweep what the file does not have yet, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("patterns", nargs="*", default=FAMILIES, help=f"names of timm's, {' '.join(FAMILIES)} if none")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--json", type=Path, default=Path("out/sweep.jsonl"), metavar="FILE")
    parser.add_argument("--page", type=Path, help="write the outcome here as Markdown")
    options = parser.parse_args()
    options.json.parent.mkdir(parents=True, exist_ok=True)
    wanted = names(options.patterns)
    kept = options.json.read_text().splitlines() if options.json.exists() else []
    done = {row["name"]: row for row in map(json.loads, kept)}
    todo = [name for name in wanted if name not in done]
    start = time.perf_counter()
    with options.json.open("a") as file:
        for row in sweep(todo, options.jobs):
            done[row["name"]] = row
            file.write(json.dumps(row) + "\n")
            file.flush()
            print(f"{row['seconds']:7.1f} s  {row['outcome']:9}  {row['name']}  {row['why']}", flush=True)
    rows = [done[name] for name in wanted]
    for size, some in (("at 224", [r for r in rows if r["image"] == USUAL]), ("at all sizes", rows)):
        counts = ", ".join(f"{sum(r['outcome'] == outcome for r in some)} {outcome}" for outcome in OUTCOMES)
        print(f"{len(some)} architectures {size}: {counts}; {sum(r['traced'] == 'w4a4' for r in some)} at W4A4")
    print(f"{len(todo)} examined in {time.perf_counter() - start:.0f} s")
    if options.page:
        options.page.write_text(page(rows))


if __name__ == "__main__":
    main()
