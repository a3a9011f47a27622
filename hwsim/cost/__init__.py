"""The cost model: `hwsim.cost.tally(graph, convention)`, and beside it memory, rows of work and the audit of claims."""

from hwsim.cost.table import CostTable, speedup, tally

__all__ = ["CostTable", "speedup", "tally"]
