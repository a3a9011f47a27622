"""The suite of the integer form: what it costs in accuracy, how wide its parts must be, and how far from float it is.

Points of the studies are records `study_*` with the tag `study`: recipes, residual_width, accumulator_width, bit_flips.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

import workloads
from hwsim import console
from hwsim.cli._output import total
from hwsim.cli._suites._accumulators import narrow_points, width_records
from hwsim.cli._suites._digits import Ready, ready
from hwsim.cli._suites._suite import Found, Options, stage
from hwsim.lower import integerize
from hwsim.lower import recipe as recipes
from hwsim.record import Record
from hwsim.study.accumulators import Range
from hwsim.study.distance import Distance, distances
from qmodels import data, evidence
from qmodels.what_if import Arithmetic, WhatIf

T = TypeVar("T")
AIMED_DROP, AIMED_KL = 0.5, 1e-3
"""Points of accuracy that the best recipe may lose at W8A8 and W4A4, and the KL divergence of tables at W8A8, in nat."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the suite runs through; `studied` are those of the workloads whose widths are narrowed and bits flipped."""

    workloads: tuple[str, ...] = ("digits_w8a8", "digits_w4a4", "digits_w2a2")
    studied: tuple[str, ...] = ("digits_w8a8", "digits_w4a4")
    recipes: tuple[str, ...] = recipes.names()
    residual_recipe: str = "lut"
    residual_bits: tuple[int, ...] = (6, 8, 10, 12, 14, 16, 20)
    flips: tuple[tuple[str, str, str], ...] = (
        ("codes", "msb", "blocks.*.mlp.fc1.input:msb"),
        ("codes", "lsb", "blocks.*.mlp.fc1.input:0"),
        ("accumulators", "msb", "blocks.*.mlp.fc1:msb"),
    )
    rates: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1)
    large: tuple[str, ...] = tuple(f"deit_small_patch16_224_{bits}" for bits in ("w8a8", "w4a4", "w2a2"))


PLAN = Plan()


def integer(options: Options) -> Found:
    """Every study, on the digits; widths of accumulators of a large model too."""
    records: list[Record] = []
    made: dict[str, Ready] = {}
    with stage(records, "tracing and ranges") as advance:
        for name in _each(PLAN.workloads, advance):
            made[name] = ready(name, options.limit, options.threads)
            records += made[name].point("reference", made[name].judged(made[name].logits), "mixed")
    _study(made, records)
    with stage(records, "accumulators") as advance:
        for name in _each((*PLAN.workloads, *PLAN.large), advance):
            records += _widths(name, made.get(name))
    with stage(records, "nonlinearities") as advance:
        records += [record for d in distances(progress=advance) for record in _distance(d)]
    for name, digits in made.items():
        with stage(records, name, f"{name}: integers against fake quant") as advance:
            batches = data.batches(digits.workload, "test", limit=options.limit)
            records += evidence.gather(digits.subject, batches, threads=options.threads, progress=advance).records()
    return _found(records)


def _study(made: Mapping[str, Ready], records: list[Record]) -> None:
    """Run the points of the four studies."""
    studied = [made[name] for name in PLAN.studied]
    with stage(records, "recipes") as advance:
        for digits, recipe in _each(tuple(product(made.values(), PLAN.recipes)), advance):
            records += _recipe(digits, recipe)
    with stage(records, "residual width") as advance:
        for digits, bits in _each(tuple(product(studied, PLAN.residual_bits)), advance):
            records += _residual(digits, PLAN.residual_recipe, bits)
    with stage(records, "accumulator width") as advance:
        for digits, overflow in _each(tuple(product(studied, ("wrap", "saturate"))), advance):
            records += narrow_points(digits, overflow)
    with stage(records, "bit flips") as advance:
        for digits, flip, rate in _each(tuple(product(studied, PLAN.flips, PLAN.rates)), advance):
            records += _flipped(digits, *flip, rate)


def _found(records: list[Record]) -> Found:
    """What is shown and said of all the records."""
    differ = total(records, "codes_mismatched", dtype="float64")
    compared = total(records, "codes_compared", dtype="float64")
    said = f"{differ:,.0f} of {compared:,.0f} codes of the mixed form differ from fake quant in float64."
    aims = _aims(records)
    words = (f"{text}: {value:.3g}, {'met' if met else 'missed'}." for text, value, met in aims)
    told = [{"aim": text, "value": value, "met": met} for text, value, met in aims]
    tables = ("recipes", "nonlinearity_distance", "accumulator_widths", "agreement")
    return Found(records, tables, (said, *words), {"mismatched_float64": differ, "aims": told}, differ > 0)


def _recipe(digits: Ready, recipe: str) -> list[Record]:
    graph = integerize(digits.mixed, recipe, digits.ranges)
    return digits.point("recipes", digits.judge(graph), "integer", recipe=recipe)


def _residual(digits: Ready, recipe: str, bits: int) -> list[Record]:
    chosen = recipes.find(recipe).changed(residual_bits=bits)
    found = digits.judge(integerize(digits.mixed, chosen, digits.ranges))
    return digits.point("residual_width", found, "integer", recipe=recipe, residual_bits=bits)


def _flipped(digits: Ready, target: str, bit: str, where: str, rate: float) -> list[Record]:
    arithmetic = Arithmetic(digits.mixed, WhatIf(flips=(f"{where}:{rate}",)))
    found = digits.judge(digits.mixed, arithmetic)
    tags = {"target": target, "bit": bit, "rate": rate, "flips": sum(arithmetic.flips.values())}
    return digits.point("bit_flips", found, "mixed", **tags)


def _widths(name: str, digits: Ready | None) -> list[Record]:
    workload = workloads.find(name)
    seen: dict[str, Range] = digits.sums if digits else {}
    return width_records(digits.mixed if digits else evidence.graph_of(workload), workload, seen)


def _distance(d: Distance) -> list[Record]:
    """Largest and root mean square distance of an operator, and the points of its curve."""
    tags = {"family": d.family, "bits": str(d.bits), "scale": f"{d.scale:.6g}", "inputs": d.inputs}
    values: list[tuple[str, float, dict[str, str]]] = [("distance_max", d.largest, {}), ("distance_rms", d.rms, {})]
    values += [("distance_at", y, {"x": f"{x:.6g}"}) for x, y in d.curve]
    return [
        Record("nonlinearities", metric, y, "real", d.operator, source="measured", tags=tuple((tags | at).items()))
        for metric, y, at in values
    ]


def _each(items: Sequence[T], advance: console.Advance) -> Iterator[T]:
    """The items, with progress."""
    for done, item in enumerate(items):
        advance(done, len(items))
        yield item
    advance(len(items), len(items))


def _aims(records: list[Record]) -> list[tuple[str, float, bool]]:
    """What the project aims at, what it has, and whether that will do; only of points that there are.

    The best recipe is the one of the least KL divergence.
    """
    found: dict[tuple[str, str], dict[str, float]] = {}
    for r in records:
        if r.tag("study") == "recipes":
            found.setdefault((r.tag("wbits"), r.tag("recipe")), {})[r.metric] = float(r.value)
    aims = []
    for bits in ("8", "4"):
        points = {recipe: values for (wide, recipe), values in found.items() if wide == bits}
        if points:
            best = min(points, key=lambda recipe: points[recipe]["study_kl_divergence"])
            drop = points[best]["study_accuracy_drop"]
            text = f"points of accuracy lost at W{bits}A{bits} by the best recipe ({best}), aim at most {AIMED_DROP:g}"
            aims.append((text, drop, drop <= AIMED_DROP))
    if ("8", "lut") in found:
        kl = found["8", "lut"]["study_kl_divergence"]
        aims.append((f"KL divergence of tables (lut) at W8A8 in nat, aim below {AIMED_KL:g}", kl, kl < AIMED_KL))
    return aims
