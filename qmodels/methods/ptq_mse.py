"""MSE baseline of post-training quantization: every grid is the one of least squared error (OMSE, arXiv 1902.06822).

All else as in `ptq_minmax`.
"""

from dataclasses import replace

from qmodels.methods.ptq_minmax import PTQ_MINMAX
from qmodels.searches.mse import Mse
from qmodels.steps.ranges import Ranges

PTQ_MSE = replace(PTQ_MINMAX, name="ptq_mse", stages=((Ranges(Mse(), Mse()),),))
