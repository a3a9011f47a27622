"""Mixed precision: which width for which layer, so that least is lost within budgets of latency, energy and size."""
