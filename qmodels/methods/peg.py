"""Per-embedding-group activations (Bondarenko et al., EMNLP 2021, arXiv 2109.12948): six grids for what LayerNorms make.

Two presets; docs/methods/peg.md says what departs from paper and code.

deployable  groups of neighbouring channels; weights per output channel, as everywhere here
paper       channels are sorted by range before they are grouped, which plain ViT and DeiT allow; weights per tensor
"""

from dataclasses import replace

from qmodels.methods.ptq_minmax import PTQ_MINMAX
from qmodels.searches.minmax import MinMax
from qmodels.searches.mse import Mse
from qmodels.steps.ranges import Ranges
from qmodels.steps.sort_channels import SortChannels

PEG = replace(PTQ_MINMAX, name="peg", groups=6, deviations="methods/peg.md")
PRESETS = {
    "deployable": PEG,
    "paper": replace(
        PEG,
        name="peg_paper",
        preset="paper",
        weights_per_tensor=True,
        stages=((SortChannels(), Ranges(MinMax(), Mse())),),
    ),
}
