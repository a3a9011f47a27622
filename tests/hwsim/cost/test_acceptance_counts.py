"""Counts of DeiT-T, S and B that were worked out apart from this code: bit operations, elements, exponentials."""

from collections import Counter
from collections.abc import Callable

import pytest

from hwsim.cost.table import tally
from hwsim.cost.work import with_bits

COUNTS = {  # softmax's exponentials, elements of 25 LayerNorms, of IRM's norms on q and k, of GELU
    "DeiT-T": (1_397_124, 945_600, 907_776, 1_815_552),
    "DeiT-S": (2_794_248, 1_891_200, 1_815_552, 3_631_104),
    "DeiT-B": (5_588_496, 3_782_400, 3_631_104, 7_262_208),
}
BITOPS = {  # in 10^9, at W2A2, W3A3, W4A4 with 8-bit ends, and at W8A8
    "DeiT-T": (6.7603, 12.8833, 21.4554, 80.2357),
    "DeiT-S": (21.8867, 44.5902, 76.3751, 294.3285),
    "DeiT-B": (77.2377, 164.4750, 286.6072, 1124.0850),
}


@pytest.mark.parametrize("label", COUNTS)
def test_elements_and_exponentials(traced: Callable, label: str) -> None:
    elements: Counter[str] = Counter()
    exponentials = 0
    for row in traced(label).rows:
        elements[row.role] += row.elements
        exponentials += sum(times for action, times in row.actions.items() if action.kind == "exp")
    wanted = COUNTS[label]
    assert (exponentials, *(elements[role] for role in ("layernorm", "qk_norm", "gelu"))) == wanted
    assert elements["softmax"] == wanted[0]


@pytest.mark.parametrize("label", BITOPS)
def test_bit_operations(plain: Callable, label: str) -> None:
    found = [tally(with_bits(plain(label), bits, bits), "bitops_wa").total / 1e9 for bits in (2, 3, 4, 8)]
    assert [round(total, 4) for total in found] == list(BITOPS[label])
