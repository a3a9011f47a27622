"""Which width for which MSA and MLP within a budget: the mixed precision of PTQ-ViT (arXiv 2106.14156).

Printed: one width per module, weights and inputs alike; candidates 4..8 for a target of 6 bits and 6..10 for one of 8; of the
allocations that keep to a size, that of least Omega (`qmodels.perturbations`). Inferred: other targets take two bits to
either side, within 2..10, or 2..8 where a method has grids that end there; all that belongs to no module (the ends, Swin's
downsampling) stays as the workload has it.

Sizes and operations are those of our cost model: bytes by the convention `size_bidet` (weights at their widths, other
parameters as 32-bit floats), bit operations by `bitops_wa` (both widths multiplied, for each MAC). Both add up over modules,
as Omega does, so that the searcher `exact` finds the least there is.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from hwsim import catalog
from hwsim.accel.layer_bits import Widths
from hwsim.accel.mixed import front
from hwsim.accel.mixed.search import Setting, search, uniform
from hwsim.accel.mixed.tabulate import Amounts, Price, tabulate, widths_of
from hwsim.accel.sensitivities import Group
from hwsim.cost.table import tally
from hwsim.cost.work import Rows, with_widths, work
from hwsim.errors import HwsimError
from qmodels import method as methods
from qmodels import models, widths
from qmodels.allocation_report import CONVENTIONS, UNITS, Report
from qmodels.method import Method
from qmodels.perturbations import Module, Progress, StudentAt, perturbations, places
from qmodels.tracing import trace
from workloads.bits import Bits
from workloads.workload import Workload

_PER_UNIT = {"size_mb": 1e6, "bops_g": 1e9}
_PART = re.compile(r"_\d+$")
NARROWEST, AROUND = 2, 2


def for_budget(
    workload: Workload,
    method: Method | str,
    teacher: nn.Module,
    images: Tensor,
    *,
    size_mb: float | None = None,
    bops_g: float | None = None,
    candidates: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> tuple[dict[str, Widths], Report]:
    """The widths (a_bits, w_bits) of every product of `workload` by `method` within the budgets, one or both, and a report.

    teacher: its float model with products as modules (`perturbations`); images: those to measure on, at once. Raises
    HwsimError for a budget that no allocation meets, which names the least that one does, before anything is measured.
    """
    found = methods.find(method) if isinstance(method, str) else method
    budgets = {"size_mb": size_mb, "bops_g": bops_g}
    asked = {thing: float(budget) for thing, budget in budgets.items() if budget is not None}
    if not asked:
        raise HwsimError("allocation: a budget is needed, got none; give a size in MB, or G bit operations")
    chosen = candidates_of(workload.bits, found) if candidates is None else _checked(candidates, found)
    free = [Module(place, 0.0, dict.fromkeys(chosen, 0.0)) for place in places(teacher)]
    widest = {product: (chosen[-1],) * 2 for module in free for product in module.place.products}
    price, others = price_of(rows_of(workload, found, widest), found), _others(teacher, workload.bits, found)
    allocate(free, others, price, asked)
    table = perturbations(teacher, student_of(workload, found, teacher), images, chosen, progress)
    setting = allocate(table, others, price, asked)
    settings = {pair[0]: one for pair, one in uniform(_groups(table, others), price).items()}
    own = {module.place.name: setting.widths[module.place.products[0]][0] for module in table}
    setting = replace(setting, widths=widths.settled(setting.widths, found))
    return dict(setting.widths), Report(workload.name, found.name, table, own, setting, settings, asked)


def allocate(
    table: Sequence[Module], others: Mapping[str, Widths], price: Price, budgets: Mapping[str, float]
) -> Setting:
    """The widths of all products of least Omega within `budgets` (of UNITS), those of `others` as they are.

    Raises HwsimError where they cannot be met, with the least that can.
    """
    return search(_groups(table, others), price, budgets, "exact", units=UNITS).setting


def pareto(table: Sequence[Module], others: Mapping[str, Widths], price: Price, thing: str) -> tuple[Setting, ...]:
    """All allocations that none other beats in both Omega and `thing` (of UNITS), that of least Omega first."""
    groups = _groups(table, others)
    problem = tabulate(groups, price, {thing: 1.0})
    settings = front.settings(problem)
    points = zip(settings, problem.loss(settings), problem.cost(settings)[:, 0], strict=True)
    return tuple(Setting(widths_of(groups, one), float(loss), {thing: float(cost)}) for one, loss, cost in points)


def price_of(rows: Rows, method: Method) -> Price:
    """What widths of products cost by `method`, counted by CONVENTIONS; `rows` are those of any widths that are not float.

    A layer of groups of channels is several products in a graph, PATH, PATH_1 and so on, all as wide as the layer.
    """
    layers = {row.node: _PART.sub("", row.node) for row in rows if row.gemm is not None}

    def price(pairs: Mapping[str, Widths]) -> Amounts:
        chosen = widths.settled(pairs, method)
        named = {node: node if node in chosen else layer for node, layer in layers.items()}
        own = with_widths(rows, {node: chosen[name] for node, name in named.items() if name in chosen})
        return {thing: tally(own, rule).total / _PER_UNIT[thing] for thing, rule in CONVENTIONS.items()}

    return price


def rows_of(workload: Workload, method: Method, layer_bits: Mapping[str, Widths] | None = None) -> Rows:
    """The work of the workload's model by `method`, with these widths, traced from its shapes alone."""
    with torch.device("meta"):
        model = models.create(workload.model.name)
    model = models.quantize(model, workload.bits, method, initialise=False, layer_bits=layer_bits).to("meta")
    return work(trace(model, torch.zeros(2, *models.image_of(workload.model)), workload.name))


def student_of(workload: Workload, method: Method, teacher: nn.Module) -> StudentAt:
    """For a width, the workload's model by `method` with the teacher's weights, its MSAs and MLPs at that width."""
    device = next(teacher.parameters()).device
    products = [product for place in places(teacher) for product in place.products]

    def at(width: int) -> nn.Module:
        own = dict.fromkeys(products, (width, width))
        model = models.create(workload.model.name)
        model = models.quantize(model, workload.bits, method, initialise=False, layer_bits=own)
        model.load_state_dict(teacher.state_dict(), strict=False)
        return model.to(device).eval()

    return at


def candidates_of(bits: Bits, method: Method) -> tuple[int, ...]:
    """The widths to choose from around the target `bits`, as far as `method` has such grids (`most_of`).

    Raises HwsimError where the target is not one width.
    """
    if bits.weights != bits.activations or bits.is_float:
        raise HwsimError(
            f"candidates: are known around one width of weights and activations, got {bits}; say which, as 4,5,6"
        )
    return tuple(range(max(NARROWEST, bits.weights - AROUND), min(most_of(method), bits.weights + AROUND) + 1))


def most_of(method: Method) -> int:
    """The widest codes that all quantizers of `method` whose width is chosen can have: 8 with grids of tables, else 10."""
    slots = (method.weights, method.inputs, method.qkv, method.gelu, None if method.softmax_bits else method.softmax)
    return min(catalog.find(methods.QUANTIZERS, slot.quantizer, "quantizer").most for slot in slots if slot)


def _checked(candidates: Sequence[int], method: Method) -> tuple[int, ...]:
    most = most_of(method)

    def fits(width: object) -> bool:
        return type(width) is int and NARROWEST <= width <= most

    for width in (width for width in candidates if not fits(width)):
        legal = [w for w in candidates if fits(w)]
        remedy = f"pass --candidates {','.join(map(str, legal))}" if legal else "leave it out"
        raise HwsimError(f"candidates: must be {NARROWEST}..{most} bits by {method.name}, got {width!r}; {remedy}")
    if not candidates:
        raise HwsimError("candidates: one width or more is needed, got none; say which, as 4,5,6")
    return tuple(sorted(set(candidates)))


def _others(teacher: nn.Module, bits: Bits, method: Method) -> dict[str, Widths]:
    """The widths of what belongs to no module."""
    held = {product for place in places(teacher) for product in place.products}
    return {name: pair for name, pair in widths.uniform(teacher, bits, method).items() if name not in held}


def _groups(table: Sequence[Module], others: Mapping[str, Widths]) -> list[Group]:
    """The problem of choice that they are: a group per module, and one of one choice for each of the others."""
    groups = []
    for module in table:
        place, choices = module.place, tuple(module.squared)
        losses = tuple(module.omega(width) for width in choices)
        groups.append(Group(place.name, place.products, tuple((w, w) for w in choices), losses))
    return groups + [Group(name, (name,), (pair,), (0.0,)) for name, pair in others.items()]
