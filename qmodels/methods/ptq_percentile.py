"""Percentile baseline of post-training quantization: ranges end at the quantile of least squared error.

The lists are those of `qmodels.searches.percentile`; all else as in `ptq_minmax`.
"""

from dataclasses import replace

from qmodels.methods.ptq_minmax import PTQ_MINMAX
from qmodels.searches.percentile import Percentile
from qmodels.steps.ranges import Ranges

PTQ_PERCENTILE = replace(PTQ_MINMAX, name="ptq_percentile", stages=((Ranges(Percentile(), Percentile()),),))
