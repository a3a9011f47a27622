"""The models we know: what timm builds, with which changes, and on what images. `overrides` go to timm.create_model.

Any other name that reads like one of timm's is a model too, as timm builds it, on the images of timm's configuration;
whether timm has it is for those to say who may ask timm (`qmodels.models`). NAME@CLASSES is the model with a head of so many
classes, for data of one's own; the digits have ten.
"""

import re
from dataclasses import dataclass, replace

from hwsim import catalog

_TIMM = re.compile(r"(?!digit)[a-z][a-z0-9]*(_[a-z0-9]+)*")  # what begins with digits is ours
_OWN_CLASSES = re.compile(r"(?!digit)(?P<plain>.+)@(?P<classes>[1-9]\d*)")


@dataclass(frozen=True, slots=True)
class Model:
    """A float model: our name, timm's, the papers' label, image (C, H, W), classes, and changes to timm's default.

    `image` is () where timm's configuration says it: `qmodels.models.image_of`.
    """

    name: str
    timm: str
    label: str
    image: tuple[int, int, int] | tuple[()] = (3, 224, 224)
    classes: int = 1000
    overrides: tuple[tuple[str, int], ...] = ()


def _imagenet(name: str, label: str) -> Model:
    return Model(name, name, label)


_DIGITS = Model(
    name="digits_deit",  # 64 patch tokens and a class token
    timm="vit_tiny_patch16_224",
    label="DeiT-digits",
    image=(1, 32, 32),
    classes=10,
    overrides=(
        ("img_size", 32),
        ("patch_size", 4),
        ("in_chans", 1),
        ("num_classes", 10),
        ("embed_dim", 48),
        ("depth", 4),
        ("num_heads", 3),
    ),
)
_MODELS = {
    model.name: model
    for model in (
        _DIGITS,
        _imagenet("deit_tiny_patch16_224", "DeiT-T"),
        _imagenet("deit_small_patch16_224", "DeiT-S"),
        _imagenet("deit_base_patch16_224", "DeiT-B"),
        _imagenet("deit_tiny_distilled_patch16_224", "DeiT-T-dist"),
        _imagenet("deit_small_distilled_patch16_224", "DeiT-S-dist"),
        _imagenet("deit_base_distilled_patch16_224", "DeiT-B-dist"),
        _imagenet("vit_tiny_patch16_224", "ViT-T"),
        _imagenet("vit_small_patch16_224", "ViT-S"),
        _imagenet("vit_base_patch16_224", "ViT-B"),
        _imagenet("vit_large_patch16_224", "ViT-L"),
        _imagenet("swin_tiny_patch4_window7_224", "Swin-T"),
        _imagenet("swin_small_patch4_window7_224", "Swin-S"),
    )
}


def names() -> tuple[str, ...]:
    """The names of the models that we know."""
    return tuple(_MODELS)


def find(name: str) -> Model:
    """The model `name`, one of `names()` or timm's, or that @CLASSES; raises UnknownName for what can be neither, nearest
    names first."""
    if not is_name(name):
        raise catalog.unknown("model", name, _MODELS)
    if match := _OWN_CLASSES.fullmatch(name):
        model, classes = find(match["plain"]), int(match["classes"])
        changes = {**dict(model.overrides), "num_classes": classes}
        return replace(
            model, name=name, label=f"{model.label}@{classes}", classes=classes, overrides=tuple(changes.items())
        )
    return _MODELS.get(name) or Model(name, name, name, image=())


def is_name(name: str) -> bool:
    """Whether `name` is one of `names()`, or may be one of timm's, or either @CLASSES."""
    plain = plain_of(name)
    return plain in _MODELS or bool(_TIMM.fullmatch(plain))


def plain_of(name: str) -> str:
    """`name` without @CLASSES."""
    match = _OWN_CLASSES.fullmatch(name)
    return match["plain"] if match else name
