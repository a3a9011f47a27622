"""Metrics: how well quantized outputs stand for float ones, one file each (`qmodels.metric` is the base).

`catalog.find("qmodels.metrics", "pearson")()` is a metric; called with the outputs that candidates give and the float ones,
it gives a score for each candidate, of which the greatest is best.
"""
