"""PTQ4ViT (Yuan et al., ECCV 2022, arXiv 2111.12293): two uniform ranges for softmax and GELU, errors weighed by the loss.

What leaves softmax and GELU has two ranges with steps of ratio 2^m (`twin_uniform`, `twin_sign`); other activations are
symmetric with one scale, weights with one per tensor (q, k and v apart). Scales are searched by turns for the least squared
error of each product's output, each error weighted by the squared gradient of the loss there. All sites look at the float
model, and know nothing of each other. docs/methods/ptq4vit.md says what departs from paper and code.
"""

from qmodels.method import Method, Slot
from qmodels.steps.output_search import OutputSearch

PTQ4VIT = Method(
    name="ptq4vit",
    weights=Slot("uniform", signed=True),
    inputs=Slot("uniform", signed=True),
    qkv=Slot("uniform", signed=True),
    softmax=Slot("twin_uniform", signed=False),
    gelu=Slot("twin_sign", signed=False),
    weights_per_tensor=True,
    stages=((OutputSearch(metric="fisher", low=0.01, high=1.2, rounds=3, stream="float"),),),
    deviations="methods/ptq4vit.md",
)
