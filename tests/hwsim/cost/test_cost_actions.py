"""Primitive actions: sums by part, and that no operator but a view does nothing."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from hwsim import catalog
from hwsim.cost.actions import Counted, actions
from hwsim.cost.groups import VIEWS
from hwsim.cost.work import with_bits, work
from hwsim.graph import Graph
from hwsim.op import Action, Op
from hwsim.ops.concat import Concat
from hwsim.ops.roll import Roll
from hwsim.spec import QuantSpec, TensorSpec


@pytest.mark.parametrize("name", catalog.names("hwsim.ops"))
def test_every_operator_has_a_rule(name: str) -> None:
    kind = catalog.find("hwsim.ops", name)
    assert "count" in vars(kind)
    assert kind.count is not Op.count


@pytest.mark.parametrize("label", ["DeiT-T", "Swin-T"])
def test_only_views_do_nothing(label: str, traced: Callable[..., Any]) -> None:
    idle = {row.role for row in traced(label).rows if not +row.actions and row.role != "parameters"}
    assert idle == {"view"}
    assert {row.op for row in traced(label).rows if row.role == "view"} <= set(VIEWS)


def test_shifts_and_joins_move_elements() -> None:
    x, codes = TensorSpec((1, 14, 14, 8)), TensorSpec((1, 14, 14, 8), QuantSpec(4, True, (1.0,)))
    roll, concat = Roll((3, 3), (1, 2)), Concat(1)
    assert roll.count((x,), x) == {Action("move", 32, 32): 1568}
    assert roll.count((codes,), codes) == {Action("move", 4, 4): 1568}
    joined = concat.infer((x, x))
    assert concat.count((x, x), joined) == {Action("move", 32, 32): 2 * 1568}


def test_by_hand(block: Graph) -> None:
    counted = actions(work(block))
    assert [c for c in counted if c.part == "qk"] == [
        Counted("qk", "add", 4, 32, 60),
        Counted("qk", "add", 32, 32, 100),
        Counted("qk", "mac", 4, 4, 150),
    ]
    assert [c for c in counted if c.part == "residual"] == [Counted("residual", "add", 32, 32, 30)]
    assert [*dict.fromkeys(c.part for c in counted)][:5] == ["qkv", "qk", "av", "proj", "head"]


@pytest.mark.parametrize("bits", [(4, 4), (2, 2), (32, 32)])
def test_nothing_is_lost(bits: tuple[int, int], traced: Callable[..., Any]) -> None:
    rows = with_bits(traced("Swin-T").rows, *bits)
    whole: Counter[Action] = Counter()
    for row in rows:
        whole.update(row.actions)
    summed: Counter[Action] = Counter()
    for c in actions(rows):
        summed[Action(c.kind, c.a_bits, c.b_bits)] += c.count
    assert summed == +whole


def test_counts_of_deit_small(traced: Callable[..., Any]) -> None:
    """Elements by hand: LayerNorm 25, softmax 12 x 6 heads, GELU and biases 12 blocks, of 197 tokens."""
    found = {(c.part, c.kind): c.count for c in actions(traced("DeiT-S").rows)}
    tokens, width, heads = 197, 384, 6
    assert found["layernorm", "mul"] == 3 * 25 * tokens * width
    assert found["qk_norm", "mul"] == 3 * 24 * tokens * width
    assert found["softmax", "exp"] == 12 * heads * tokens * tokens
    assert found["gelu", "erf"] == 12 * tokens * 4 * width
    assert found["residual", "add"] == 24 * tokens * width
    assert found["bias", "add"] == 12 * tokens * 9 * width + 196 * width + 1000
    assert found["concat", "move"] == tokens * width


def test_window_shifts_of_swin(traced: Callable[..., Any]) -> None:
    """Every second block shifts its windows there and back; the last stage is one window."""
    found = {(c.part, c.kind): c.count for c in actions(traced("Swin-T").rows)}
    stages = ((1, 56 * 56 * 96), (1, 28 * 28 * 192), (3, 14 * 14 * 384))
    assert found["roll", "move"] == sum(2 * shifted * elements for shifted, elements in stages)
