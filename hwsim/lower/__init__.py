"""Lowering: from the mixed form, with float islands, to the integer form, in which no float flows (S17)."""

from hwsim.lower.lowering import integerize

__all__ = ["integerize"]
