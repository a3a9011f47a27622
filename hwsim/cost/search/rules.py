"""The rules that a search tries: every shipped convention with its defaults; and readings that have a name."""

from collections.abc import Mapping

from hwsim import catalog
from hwsim.cost.convention import CATALOGUE, Convention
from hwsim.cost.conventions.qvit_table import QvitTable
from hwsim.cost.elementwise import NONE

NAMED: Mapping[str, Convention] = {"R1a": QvitTable(attention_bits=8, elementwise=NONE), "R1b": QvitTable()}
"""The two readings of Q-ViT's 6.14x that `qvit_table` documents."""


def shipped() -> tuple[Convention, ...]:
    """Every shipped convention, of whatever unit."""
    return tuple(catalog.find(CATALOGUE, name)() for name in catalog.names(CATALOGUE))
