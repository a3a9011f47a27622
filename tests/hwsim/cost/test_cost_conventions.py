"""Contract of the catalogue, and what its conventions must reproduce; published figures are in test_cost_claims."""

import dataclasses
import inspect
from collections.abc import Callable

import pytest

from hwsim import catalog
from hwsim.cost.convention import Convention
from hwsim.cost.conventions.bireal_ladder import BirealLadder
from hwsim.cost.conventions.qvit_table import QvitTable
from hwsim.cost.elementwise import NONE, QVIT, SWIN
from hwsim.cost.rounding import EXACT, Rounding
from hwsim.cost.table import CATALOGUE, entries, find, speedup, tally
from hwsim.cost.work import Work, with_bits, work
from hwsim.errors import HwsimError
from hwsim.graph import Graph

Plain = Callable[[str], tuple[Work, ...]]
Rows = tuple[Work, ...]
NAMES = catalog.names(CATALOGUE)
R1A = QvitTable(attention_bits=8, elementwise=NONE)
R1B = QvitTable()


@pytest.mark.parametrize("name", NAMES)
def test_contract(name: str, block: Graph) -> None:
    convention = find(name)
    module = inspect.getmodule(convention)
    assert module is not None
    contract = module.__doc__ or ""
    assert contract.startswith(f"{name}: ")
    assert "Status: " in contract
    assert "Source: " in contract
    public = [
        v for k, v in vars(module).items() if not k.startswith("_") and getattr(v, "__module__", "") == module.__name__
    ]
    assert public == [convention]
    assert issubclass(convention, Convention)
    assert dataclasses.is_dataclass(convention)
    assert convention.unit in ("MAC", "FLOP", "OP", "BOP", "cycle", "byte")
    assert convention.status in ("printed", "fitted", "inferred")
    default = convention()
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
        default.anything = 1  # type: ignore[attr-defined]
    rows = with_bits(work(block), 1, 1, 1) if 4 not in (default.bits or (4,)) else work(block)
    assert len(default.amounts(rows)) == len(rows)
    assert all(amount >= 0 for amount in default.amounts(rows))


@pytest.mark.parametrize("name", NAMES)
def test_never_dearer_at_fewer_bits(name: str, block: Graph) -> None:
    defined = find(name).bits or (2, 3, 4, 8, 32)
    widths = [b for b in (1, 2, 3, 4, 8, 32) if b in defined]
    assert len(widths) >= 2
    totals = [tally(with_bits(work(block), b, b, b), name).total for b in widths]
    if name == "qvit_table":  # its full precision side counts less
        totals.pop()
    assert totals == sorted(totals)


def test_totals_of_models_without_a_table(plain: Plain) -> None:
    assert tally(plain("DeiT-B"), "macs").total == 17_563_828_224  # FACTS.md A
    assert [round(tally(with_bits(plain("DeiT-B"), b, b), "bitops_wa").total / 1e9, 4) for b in (2, 3, 4)] == [
        77.2377,  # METHODS.md section 6
        164.4750,
        286.6072,
    ]
    assert tally(with_bits(plain("DeiT-B"), 8, 8), "bitops_wa").total == 64 * 17_563_828_224


def test_swin_flops(plain: Plain) -> None:
    totals = {label: tally(plain(label), "swin_flops").total for label in ("Swin-T", "DeiT-S")}
    assert totals == {"Swin-T": 4_494_405_120, "DeiT-S": 4_600_773_504}


@pytest.mark.slow
def test_swin_flops_of_a_larger_one(plain: Plain) -> None:
    assert tally(plain("Swin-S"), "swin_flops").total == 8_746_520_064


def test_norms_of_irm_are_not_in_the_float_model(traced: Callable, plain: Plain) -> None:
    assert tally(traced("DeiT-S").rows, "swin_flops").total == tally(plain("DeiT-S"), "swin_flops").total


def test_deit_tiny_bit_operations_exactly(plain: Plain) -> None:
    assert tally(plain("DeiT-T"), "bitops_wa").total == 21_455_413_248


def test_elements_of_deit_small(traced: Callable) -> None:
    elements: dict[str, int] = {}
    for row in traced("DeiT-S").rows:
        elements[row.role] = elements.get(row.role, 0) + row.elements
    wanted = {  # FACTS.md A, METHODS.md section 6
        "layernorm": 1_891_200,
        "qk_norm": 1_815_552,
        "softmax": 2_794_248,
        "gelu": 3_631_104,
        "residual": 1_815_552,
    }
    assert {role: elements[role] for role in wanted} == wanted
    assert round(elements["bias"] / 1e6, 3) == 8.246


def test_qvit_elementwise_work(traced: Callable) -> None:
    rows = traced("DeiT-S-dist").rows
    assert sum(QVIT.amounts(rows)) == 7_603_200 + 7_299_072 + 11_290_752 + 3_649_536 + 1_824_768 == 31_667_328
    assert tally(rows, R1B).total == 660_934_272


def test_qvit_table(traced: Callable) -> None:
    small, base = traced("DeiT-S-dist").rows, traced("DeiT-B-dist").rows
    assert entries(small, R1A) == entries(small, R1B) == (4.3e9, 0.7e9)
    assert speedup(small, R1A) == 43 / 7
    assert speedup(with_bits(small, 2, 2), R1B) == 21.5
    assert speedup(with_bits(base, 2, 2), R1A) == 21.125
    assert entries(with_bits(base, 2, 2), R1A) == (16.9e9, 0.8e9)


def test_rounding_is_an_option(traced: Callable) -> None:
    rows = traced("DeiT-S-dist").rows
    assert QvitTable(rounding=Rounding("round", 2, "G")).entry(660_934_272) == 0.66e9
    assert QvitTable().entry(650_000_000) == 0.7e9  # half up, as tables are
    assert speedup(rows, QvitTable(rounding=EXACT)) == 4_262_836_224 / 660_934_272


def test_bireal_ladder_options(plain: Plain) -> None:
    rows = plain("Swin-T")
    swin = speedup(rows, BirealLadder(elementwise=SWIN))
    assert round(swin, 3) == 7.769
    macs = tally(rows, "macs").by_group()
    ends = macs["patch_embed"] + macs["head"]
    inner = tally(rows, "macs").total - ends
    assert tally(rows, BirealLadder(elementwise=NONE)).total == inner / 8 + ends
    assert tally(rows, BirealLadder(elementwise=NONE, ends_bits=None)).total == inner / 8 + ends / 4
    attention = macs["qk"] + macs["av"]
    eight = tally(rows, BirealLadder(attention_bits=8, elementwise=NONE)).total
    assert eight == (inner - attention) / 8 + attention / 4 + ends
    floats = with_bits(rows, 32, 32)
    assert tally(floats, BirealLadder(attention_bits=8, elementwise=NONE)).total == inner + ends


def test_bits_without_a_rung(block: Graph) -> None:
    with pytest.raises(HwsimError) as error:
        tally(with_bits(work(block), 5, 5), "bireal_ladder")
    assert str(error.value) == (
        "bireal_ladder: bits must be one of 1, 2, 3, 4, 8, 32, got 5 at blocks.0.attn.qkv; choose one of them or a "
        "convention that is defined at any width, such as bitops_wa"
    )


def test_size_simple_needs_one_width(block: Graph) -> None:
    rows = work(block)
    mixed = (*with_bits(rows[:5], 3, 3), *rows[5:])
    with pytest.raises(HwsimError) as error:
        tally(mixed, "size_simple")
    assert str(error.value) == (
        "size_simple: weights must have one width, got 3, 4; choose size_bidet, which takes each at its own"
    )
