"""Searches: how the grid of one quantizer is found from sample values alone, one file each (`qmodels.search` is the base).

`catalog.find("qmodels.searches", "percentile")(activations=(0.999, 1.0))` is a search; called with a sample and a quantizer
it sets the grid of that quantizer.
"""
