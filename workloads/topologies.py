"""Networks that published figures speak of and that are no Vision Transformer, as tables of their layers.

Only what multiplies is listed: convolutions and linear layers, with the sizes of their inputs. A layer has widths of its
own where the network was published at them; otherwise it takes those that are asked for. Architectures are as their
sources print them; `hwsim.cost.layers` makes rows of work of them.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from hwsim import catalog

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution of `kernel` on an image of `size` (height, width), or with no size a linear layer of one row.

    `channels` and `features` are what goes in and what comes out; `bits` of (weights, activations), None for those asked
    for; `end` is `patch_embed` for the first layer, `head` for the last, the names of these groups of work.
    """

    name: str
    channels: int
    features: int
    size: Pair | None = None
    kernel: Pair = (1, 1)
    stride: int = 1
    padding: Pair = (0, 0)
    groups: int = 1
    bits: Pair | None = None
    end: str = ""


@dataclass(frozen=True, slots=True)
class Topology:
    """A network called `name`, by papers `label`, as `source` prints it; its figures are for one input."""

    name: str
    label: str
    layers: tuple[Layer, ...]
    source: str


def names() -> tuple[str, ...]:
    """The names of all topologies."""
    return tuple(_TOPOLOGIES)


def find(name: str) -> Topology:
    """The topology `name`; raises UnknownName with the known names, nearest first."""
    if name not in _TOPOLOGIES:
        raise catalog.unknown("topology", name, _TOPOLOGIES)
    return _TOPOLOGIES[name]


def _same(name: str, channels: int, features: int, size: int, kernel: int, stride: int = 1) -> Layer:
    """A square convolution that is padded by half its kernel."""
    return Layer(name, channels, features, (size, size), (kernel, kernel), stride, (kernel // 2, kernel // 2))


def _resnet(units: tuple[int, ...], bottleneck: bool) -> Iterator[Layer]:
    """A ResNet on 224 x 224 (arXiv 1512.03385, table 1), each unit's stride in its first convolution."""
    yield replace(_same("stem", 3, 64, 224, 7, 2), end="patch_embed")
    channels, size = 64, 56
    for stage, count in enumerate(units, 1):
        width = 32 << stage
        out = 4 * width if bottleneck else width
        kernels = ((1, width), (3, width), (1, out)) if bottleneck else ((3, width), (3, width))
        for unit in range(1, count + 1):
            name = f"stage{stage}.unit{unit}"
            stride = 2 if unit == 1 and stage > 1 else 1
            if channels != out or stride > 1:
                yield _same(f"{name}.identity", channels, out, size, 1, stride)
            for index, (kernel, features) in enumerate(kernels, 1):
                yield _same(f"{name}.conv{index}", channels, features, size, kernel, stride)
                channels, size, stride = features, size // stride, 1
    yield Layer("fc", channels, 1000, end="head")


def _cnv() -> Iterator[Layer]:
    """32 x 32 x 3 at 8 bits, six 3 x 3 convolutions without padding, pooling by 2 after the second and the fourth."""
    channels, size = 3, 32
    for index, features in enumerate((64, 64, 128, 128, 256, 256)):
        bits, end = ((2, 8), "patch_embed") if index == 0 else ((2, 2), "")
        yield Layer(f"conv{index}", channels, features, (size, size), (3, 3), bits=bits, end=end)
        channels, size = features, size - 2
        size = size // 2 if index in (1, 3) else size
    yield from _linear((256, 512, 512, 10), (2, 2))


def _linear(widths: tuple[int, ...], bits: Pair) -> Iterator[Layer]:
    """Linear layers of these widths, the last one the head."""
    last = len(widths) - 2
    for index, (channels, features) in enumerate(itertools.pairwise(widths)):
        yield Layer(f"linear{index}", channels, features, bits=bits, end="head" if index == last else "")


def _vgg10() -> Iterator[Layer]:
    """1024 samples of two channels, seven convolutions of 64 channels and kernel 3, each followed by pooling by 2."""
    for index in range(7):
        size, channels = (1, 1024 >> index), 64 if index else 2
        end = "" if index else "patch_embed"
        yield Layer(f"conv{index}", channels, 64, size, (1, 3), padding=(0, 1), bits=(8, 8), end=end)
    yield from _linear((512, 128, 128, 24), (8, 8))


def _reactnet() -> Iterator[Layer]:
    """MobileNetV1 with 3 x 3 convolutions of all channels for its depthwise ones; first and last layer stay real."""
    yield replace(_same("stem", 3, 32, 224, 3, 2), bits=(32, 32), end="patch_embed")
    channels, size = 32, 112
    for index, features in enumerate((64, 128, 128, 256, 256, *[512] * 6, 1024, 1024)):
        stride = 2 if features == 2 * channels and channels > 32 else 1
        yield replace(_same(f"block{index}.conv3", channels, channels, size, 3, stride), bits=(1, 1))
        size //= stride
        yield replace(_same(f"block{index}.conv1", channels, features, size, 1), bits=(1, 1))
        channels = features
    yield Layer("fc", 1024, 1000, bits=(32, 32), end="head")


def _at(layers: Iterable[Layer], bits: Mapping[str, Pair], others: Pair) -> tuple[Layer, ...]:
    """`layers` with the widths that `bits` has for their names, and with those of the `others`."""
    return tuple(replace(layer, bits=bits.get(layer.name, others)) for layer in layers)


def _four(text: str) -> dict[str, Pair]:
    """Widths of 4 bits for the layers that `text` lists: `1.2:2` is `stage1.unit2.conv2`."""
    found: dict[str, Pair] = {}
    for word in text.split():
        unit, _, layers = word.partition(":")
        stage, _, number = unit.partition(".")
        for layer in layers.split(","):
            found[f"stage{stage}.unit{number}.{'conv' + layer if layer.isdigit() else layer}"] = (4, 4)
    return found


_R18 = tuple(_resnet((2, 2, 2, 2), bottleneck=False))
_R50 = tuple(_resnet((3, 4, 6, 3), bottleneck=True))
_BOPS_18 = "1.2:2 2.2:2 3.2:1,2 4.1:1,2,identity 4.2:1,2"  # at 4 bits in `bit_config_resnet18_bops_0.5`
_BOPS_50 = "1.3:2 2.1:2 2.2:2 2.3:2,3 2.4:2 3.1:2 3.2:2,3 3.3:2,3 3.4:2,3 3.5:2,3 3.6:2 4.1:2 4.2:2 4.3:2"
_PARTLY = {"stem": (8, 8), "stage1.unit1.conv1": (32, 8), "stage1.unit1.conv2": (8, 32), "fc": (8, 8)}
_HAWQ = "arXiv 1512.03385; widths in github.com/Zhen-Dong/HAWQ, bit_config.py"

_TOPOLOGIES = {
    topology.name: topology
    for topology in (
        Topology("resnet18_v1", "ResNet18", _R18, "arXiv 1512.03385"),
        Topology("resnet50_v1", "ResNet50", _R50, "arXiv 1512.03385"),
        Topology("resnet18_bops05", "ResNet18, bops_0.5", _at(_R18, _four(_BOPS_18), (8, 8)), _HAWQ),
        Topology("resnet50_bops05", "ResNet50, bops_0.5", _at(_R50, _four(_BOPS_50), (8, 8)), _HAWQ),
        Topology(
            "resnet18_partly_int8",
            "ResNet18-v1-7 partly INT8",
            _at(_R18, _PARTLY, (32, 32)),
            "github.com/fastmachinelearning/qonnx, tests/transformation/test_quantize_graph.py",
        ),
        Topology("cnv_w2a2", "CNV-W2A2", tuple(_cnv()), "github.com/Xilinx/brevitas, bnn_pynq/models/CNV.py"),
        Topology(
            "tfc_w2a2",
            "TFC-W2A2",
            tuple(_linear((784, 64, 64, 64, 10), (2, 2))),
            "github.com/Xilinx/brevitas, bnn_pynq/models/FC.py",
        ),
        Topology("radioml_vgg10", "RadioML-VGG10", tuple(_vgg10()), "github.com/Xilinx/brevitas-radioml-challenge-21"),
        Topology("reactnet_a", "ReActNet-A", tuple(_reactnet()), "arXiv 2003.03488, section 4.1"),
        Topology(
            "mlp_16_64_32_32_5",
            "MLP 16-64-32-32-5",
            tuple(_linear((16, 64, 32, 32, 5), (32, 32))),
            "a script's own self-test, quoted by a secondary source",
        ),
    )
}
