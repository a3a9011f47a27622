"""Searchers, one file each: a function of its file's name takes a Problem, a seed and a place to report progress to, and
gives a setting (G,). One that finds none within the budgets gives that which exceeds them least."""
