"""Made-up records of a suite of trainings, as `hwsim train --suite` writes them."""

import math
from collections.abc import Iterator

from hwsim.record import Record

LABELS = {"LSQ": 0.93, "LSQ + IRM": 0.92, "LSQ + DGD": 0.94, "Q-ViT": 0.95, "VVTQ": 0.91}
"""Methods, and how well they do at two bits."""


def _run(label: str, bits: int, seed: int, accuracy: float, place: int) -> Iterator[Record]:
    tags = {"suite": "ablation", "place": place, "label": label, "seed": seed, "method": "m", "preset": "deployable"}
    tags |= {"wbits": bits, "abits": bits}
    workload = f"digits_deit_w{bits}a{bits}"
    accuracy += 0.004 * (seed - 1)

    def record(metric: str, value: float | str, node: str = "", **more: object) -> Record:
        said = tuple((key, str(x)) for key, x in {**tags, **more}.items())
        return Record(workload, metric, value, "", node, source="measured", tags=said)

    yield record("run", f"hwsim train --workload {workload} --set seed={seed}")
    yield record("run_accuracy", accuracy, split="test")
    yield record("run_accuracy", accuracy + 0.01, split="validation")
    yield record("run_kl_divergence", max(0.0, 2.1 * (0.985 - accuracy)))
    yield record("run_agreement", accuracy + 0.005)
    yield record("run_loss", 0.4 + place / 100)
    yield record("run_seconds", 60.0 + 7 * place)
    for layer in range(4):
        node = f"blocks.{layer}.attn"
        yield record("map_distance", 0.3 + layer / 50 - accuracy / 10, node)
        for operand in "qk":
            yield record("head_distance", 1.2 - accuracy, node, operand=operand)
            if bits < 32:
                yield record("code_entropy", 1.3 + 0.5 * ("IRM" in label or "Q-ViT" in label), node, operand=operand)
        if bits < 32:
            for i, (layers, kind) in enumerate((("attn.qkv", "input"), ("mlp.fc1", "input"), ("mlp.fc1", "weight"))):
                yield record(
                    "scale", 0.1 * (i + 1) + layer / 50 + place / 99, f"blocks.{layer}.{layers}.{kind}_quantizer"
                )
            for operand in ("qk.a", "av.b"):
                yield record("scale", 0.7 + place / 40, f"{node}.{operand}_quantizer")
    if bits < 32:
        for epoch in (1, 50, 100):
            yield record("oscillating", 0.3 / epoch + place / 1000, epoch=epoch, last=str(epoch == 100).lower())
    if seed == 0 and (bits == 2 or bits == 32):
        yield from _details(record, bits, "IRM" in label or "Q-ViT" in label)


def _details(record, bits: int, rectified: bool) -> Iterator[Record]:
    node = "blocks.3.attn"
    for operand in "qk":
        for stage, width in (("before", 2.0), ("after", 1.0 if rectified else 2.0)):
            for i in range(-10, 11):
                share = math.exp(-((i / 4) ** 2) / 2) / (4 * math.sqrt(2 * math.pi))
                x, step = width * i / 4, width / 4
                yield record("histogram", share, node, operand=operand, stage=stage, x=f"{x:.6g}", width=f"{step:.6g}")
        if bits < 32:
            for code, share in zip(
                range(-2, 2), (0.2, 0.3, 0.35, 0.15) if rectified else (0.02, 0.1, 0.85, 0.03), strict=True
            ):
                yield record("code_share", share, node, operand=operand, code=code, x=f"{0.9 * code:.6g}")
    for image in (8, 9):
        for row in range(8):
            for column in range(8):
                at = {"image": image, "row": row, "column": column}
                yield record(
                    "attention_share", math.exp(-((row - 3) ** 2 + (column - image / 2) ** 2) / 9) / 28, node, **at
                )
                yield record("pixel", 1.0 if abs(row - column) < 2 else -1.0, **at)


def trainings() -> list[Record]:
    """Three seeds of each method at two bits and of the float model, of two methods at three and four bits."""
    runs = [("float", 32, 0.98)] + [(label, 2, accuracy) for label, accuracy in LABELS.items()]
    runs += [(label, bits, 0.935 + bits / 100) for bits in (3, 4) for label in ("LSQ", "Q-ViT")]
    return [
        record
        for seed in range(3)
        for place, (label, bits, accuracy) in enumerate(runs)
        for record in _run(label, bits, seed, accuracy, place)
    ]
