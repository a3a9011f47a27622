"""The same work in far fewer rows: equal nodes of equal layers as one, for models that are priced thousands of times.

Rows are merged where all that a counting rule may look at is equal: operator, group, role, widths, the product's (M, K) x
(K, N), the output's shape behind its leading axis, the kinds of actions, and what the row serves. The products become
one of a larger batch, the outputs one with a longer leading axis; actions, weights, parameters, extras and `times` add up. So
every convention gives the same total and the same sums per group, as long as a row costs in proportion to them; integers
stay equal, sums of floats are equal but for their last digits. Nodes that are no part of a layer (names without a dot, as
the model's last norm) stay by themselves.
"""

import dataclasses
from collections import Counter
from collections.abc import Hashable

from hwsim.cost.extras import Extra
from hwsim.cost.work import Rows, Work
from hwsim.op import Action


def condensed(rows: Rows) -> tuple[Work, ...]:
    """`rows` with the equal ones merged: each called as the first of them, in the order of the first."""
    products = {row.node: row for row in rows if row.gemm is not None}
    merged: dict[Hashable, list[Work]] = {}
    for row in rows:
        served = products.get(row.serves)
        merged.setdefault((_key(row), _key(served) if served else row.serves), []).append(row)
    first = {row.node: same[0].node for same in merged.values() for row in same}
    return tuple(_sum(same, first.get(same[0].serves, same[0].serves)) for same in merged.values())


def _key(row: Work) -> Hashable:
    gemm = row.gemm and dataclasses.replace(row.gemm, batch=1)
    layer = "" if "." in row.node else row.node
    stored = row.weights > 0, row.parameters > 0
    return (
        row.op,
        row.group,
        row.role,
        gemm,
        row.shape[1:],
        bool(row.shape),
        frozenset(row.actions),
        frozenset(row.extras),
        stored,
        layer,
    )


def _sum(same: list[Work], serves: str) -> Work:
    first = same[0]
    if len(same) == 1:
        return dataclasses.replace(first, serves=serves)
    actions: Counter[Action] = Counter()
    extras: Counter[Extra] = Counter()
    for row in same:
        actions.update(row.actions)
        extras.update(row.extras)
    return dataclasses.replace(
        first,
        gemm=first.gemm and dataclasses.replace(first.gemm, batch=sum(row.gemm.batch for row in same if row.gemm)),
        actions=actions,
        shape=(sum(row.shape[0] for row in same), *first.shape[1:]) if first.shape else (),
        weights=sum(row.weights for row in same),
        parameters=sum(row.parameters for row in same),
        serves=serves,
        times=sum(row.times for row in same),
        extras=extras,
    )
