"""Q-ViT (Li et al., NeurIPS 2022, arXiv 2210.06707): LSQ+ activations, IRM on q and k, distillation with DGD.

q, k, v: asymmetric, one scale and integer zero point per head; softmax output: unsigned, one scale per head. Departs
from the released code (commit ab9580c), which puts one scale per *input channel* on Linear inputs: no integer GEMM can
execute a scale along its reduction axis, so inputs are per_tensor here. Departs from the paper: real-valued offsets
become integer zero points (see `lsq_plus`), and the hard label of the teacher becomes its soft logits. DGD follows the
paper; the released code has none.
"""

from qmodels.method import Method, Slot

QVIT = Method(
    name="qvit",
    weights=Slot("lsq", signed=True),
    inputs=Slot("lsq_plus", signed=False),
    qkv=Slot("lsq_plus", signed=False),
    softmax=Slot("lsq", signed=False),
    per_head=True,
    irm=True,
    distillation=1.0,
    dgd=1.0,
)
