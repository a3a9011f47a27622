from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.cost.rounding import EXACT, PREFIXES, Rounding, parse
from hwsim.errors import HwsimError


def test_entries_of_published_tables() -> None:
    assert Rounding("round", 1, "G").entry(4_262_836_224) == 4.3e9  # Q-ViT, inferred
    assert Rounding("round", 1, "G").printed(4_262_836_224) == 4.3
    assert Rounding("truncate", 0, "G").printed(34_714_000_000) == 34  # HAWQ-V3, ResNet-18 at 4 bits
    assert Rounding("round", 1, "Mi").printed(4 * 11_678_912) == 44.6  # HAWQ-V3, ResNet-18's weights as floats


def test_half_goes_up_and_a_float_is_what_it_is() -> None:
    assert Rounding("round", 1).entry(0.25) == 0.3
    assert Rounding("round", 1).entry(0.15) == 0.1  # the double is a little less than 0.15
    assert Rounding("round", 0, "K").entry(1500) == 2000


def test_none_keeps_totals() -> None:
    assert EXACT.entry(1 / 3) == 1 / 3
    assert Rounding("none", 0, "Mi").entry(123_456_789) == 123_456_789
    assert Rounding("none", 0, "Mi").printed(3 * 2**19) == 1.5


@given(
    total=st.integers(0, 10**13),
    how=st.sampled_from(("round", "truncate")),
    decimals=st.integers(0, 6),
    prefix=st.sampled_from(tuple(PREFIXES)),
)
def test_the_nearest_and_the_one_below(total: int, how: str, decimals: int, prefix: str) -> None:
    """Against whole numbers: steps of 10**-decimals x factor are counted, nothing is divided but by //."""
    factor, tens = PREFIXES[prefix], 10**decimals
    steps = total * tens // factor if how == "truncate" else (2 * total * tens + factor) // (2 * factor)
    rounding = Rounding(how, decimals, prefix)
    assert rounding.printed(total) == float(Decimal(steps) / tens)
    assert parse(str(rounding)) == rounding


@pytest.mark.parametrize(
    ("text", "rounding"),
    [
        ("none", EXACT),
        ("none:0:Mi", Rounding("none", 0, "Mi")),
        ("round", Rounding("round")),
        ("round:2", Rounding("round", 2)),
        ("truncate:1:G", Rounding("truncate", 1, "G")),
    ],
)
def test_parse(text: str, rounding: Rounding) -> None:
    assert parse(text) == rounding


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Rounding("up"),
            "rounding: how must be one of none, round, truncate, got 'up'; none keeps totals",
        ),
        (
            lambda: Rounding("round", 1, "k"),
            "rounding: prefix must be one of \"\", K, M, G, T, Ki, Mi, Gi, got 'k'; Mi of bytes makes MiB",
        ),
        (
            lambda: Rounding("round", -1),
            "rounding: decimals must be 0..12, got -1; choose a smaller prefix for less",
        ),
        (
            lambda: parse("round:one:G"),
            "rounding: must be way:decimals:prefix, got 'round:one:G'; write none, round:1:G or truncate:0:Mi",
        ),
        (
            lambda: parse("round:1:G:G"),
            "rounding: must be way:decimals:prefix, got 'round:1:G:G'; write none, round:1:G or truncate:0:Mi",
        ),
    ],
)
def test_errors(make: Any, message: str) -> None:
    with pytest.raises(HwsimError) as error:
        make()
    assert str(error.value) == message
