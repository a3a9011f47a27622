"""Which conventions give a published figure? `search` evaluates a grid of them and ranks those that do."""

from hwsim.cost.search.findings import Found, search

__all__ = ["Found", "search"]
