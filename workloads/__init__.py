"""Named, frozen workloads, known without torch: `find("digits_w4a4")`, `find("deit_small_patch16_224_w4a4")`.

For any MODEL, ours or timm's, every MODEL_wXaY_METHOD is a workload of that method, and every MODEL_wXaY one of `qvit`
where the model is ours and of `lsq`, which knows no attention, where it is not. MODEL may be NAME@CLASSES. The named digits
ones have a recipe of their own and a shipped checkpoint; others have the usual recipe of their images. A float workload
(MODEL_w32a32, digits_float) has the method `lsq`, which then inserts nothing but names for the attention products.
"""

import re

from hwsim import catalog
from workloads import datasets, models
from workloads.bits import Bits
from workloads.workload import Recipe, Workload

_MODEL_AT_BITS = re.compile(r"(?P<model>.+)_(?P<bits>w\d+a\d+)(_(?P<method>[a-z]\w*))?")


def _digits(name: str, bits: Bits, method: str, recipe: Recipe) -> Workload:
    model = models.find("digits_deit")
    return Workload(name, model, datasets.DIGITS, bits, method, recipe, f"{name}.safetensors")


_SHIPPED = {
    workload.name: workload
    for workload in (
        _digits(
            "digits_float",
            Bits(32, 32),
            "lsq",
            Recipe(epochs=150, lr=1e-3, weight_decay=0.05, warmup=5, label_smoothing=0.1),
        ),
        _digits("digits_w8a8", Bits(8, 8), "qvit", Recipe(epochs=60, lr=1e-3, teacher="digits_float")),
        _digits("digits_w4a4", Bits(4, 4), "qvit", Recipe(epochs=60, lr=1e-3, teacher="digits_float")),
        _digits("digits_w2a2", Bits(2, 2), "qvit", Recipe(epochs=120, lr=3e-3, teacher="digits_float")),
    )
}
QVIT_MODELS = (
    "deit_tiny_patch16_224",
    "deit_small_patch16_224",
    "deit_base_patch16_224",
    "swin_tiny_patch4_window7_224",
    "swin_small_patch4_window7_224",
)
"""The models whose efficiency the Q-ViT paper (arXiv 2210.06707) states, plain; the released code distils its DeiTs."""


def names() -> tuple[str, ...]:
    """The workloads with a name of their own: the digits ones, and the suite of the Q-ViT paper."""
    return (*_SHIPPED, *(f"{model}_w{b}a{b}" for model in QVIT_MODELS for b in (4, 3, 2)))


def find(name: str) -> Workload:
    """The workload `name`, one of `names()`, any MODEL_wXaY or MODEL_wXaY_METHOD; raises UnknownName or HwsimError."""
    if name in _SHIPPED:
        return _SHIPPED[name]
    match = _MODEL_AT_BITS.fullmatch(name)
    if match is None or not models.is_name(match["model"]):
        raise catalog.unknown("workload", name, names())
    bits, model = Bits.parse(match["bits"]), models.find(match["model"])
    dataset = datasets.DIGITS if model.name == "digits_deit" else datasets.IMAGENET
    usual = "qvit" if models.plain_of(model.name) in models.names() and not bits.is_float else "lsq"
    return Workload(name, model, dataset, bits, match["method"] or usual, _usual_recipe(model.name, dataset, bits))


def _usual_recipe(model: str, dataset: datasets.Dataset, bits: Bits) -> Recipe:
    """Longer and gentler for folders of images than for digits; what is quantized learns from the float model."""
    if dataset.kind == "digits":
        return Recipe(epochs=60, lr=1e-3, teacher="" if bits.is_float else "digits_float")
    return Recipe(epochs=300, lr=2e-4, teacher="" if bits.is_float else f"{model}_w32a32", workers=4)
