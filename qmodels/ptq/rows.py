"""Rows: a site's product for a few rows of each image, which is what searches by its output can afford to look at.

A row of a layer's output is one token, or one place of a picture; of a product of activations it is one row of each head of
one window (a model without windows has one). The first row, where class tokens stand, is always there; the others are drawn.
Operands keep the axes by which their quantizers know them: a layer's input is (B, M, K), of a convolution's patches K is
C kh kw, weights are as they are; operands of a product are (B, ..., M, K) and (B, ..., K, N).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from qmodels import torchvision_shim  # noqa: F401 - before timm

# isort: split
from timm.layers.padding import pad_same

from qmodels.layers.quant_conv2d import QuantConv2d
from qmodels.ptq.site import Site
from qmodels.ptq.unit import Kind, Unit


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Which rows of a site, of each of `images` images.

    places: (images, M) of a layer, (M,) of a product of activations. windows: of such a product, which of the first axis.
    """

    images: int
    places: Tensor
    windows: Tensor | None = None

    def operands(self, site: Site, inputs: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """What is multiplied for these rows when `site`, of the student or of its twin, is called with `inputs`."""
        a, b = site.values(inputs)
        if self.windows is not None:
            return a[self.windows][..., self.places, :], b[self.windows]
        if not isinstance(site.module, QuantConv2d):
            return self._picked(a), b
        picked = zip(a.split(len(a) // self.images), self.places, strict=True)  # one by one: patches overlap
        return torch.stack([_patches(site.module, image)[0, places] for image, places in picked]), b

    def output(self, site: Site, output: Tensor) -> Tensor:
        """These rows of a whole output of the site, or of what has its shape: (B, M, N), or (B, ..., M, N)."""
        if self.windows is not None:
            return output[self.windows][..., self.places, :]
        return self._picked(output.flatten(2).mT if isinstance(site.module, QuantConv2d) else output)

    def _picked(self, tokens: Tensor) -> Tensor:
        """These rows (B, M, K) of (B, ..., K)."""
        tokens = tokens.reshape(self.images, -1, tokens.shape[-1])
        return tokens.gather(1, self.places[..., None].expand(-1, -1, tokens.shape[-1]))

    def product(self, site: Site, a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
        """The output rows of operands as `operands` gives them; one of them may have candidates in front, (C, ...).

        bias: a layer's, in place of its own.
        """
        if self.windows is not None:
            if a.dim() > b.dim():  # candidates as further rows: each head's b is read once
                return torch.matmul(a.movedim(0, -3).flatten(-3, -2), b).unflatten(-2, (len(a), -1)).movedim(-3, 0)
            return torch.matmul(a, b)
        module = site.module
        groups = module.groups if isinstance(module, QuantConv2d) else 1
        weight = b.reshape(*b.shape[: b.dim() - module.weight.dim()], groups, len(module.weight) // groups, -1)
        rows = a.flatten(-3, -2).unflatten(-1, (groups, -1)).transpose(-3, -2)  # (..., groups, B M, K)
        out = torch.matmul(rows, weight.mT).transpose(-3, -2).flatten(-2)  # (..., B M, N)
        bias = site.bias if bias is None else bias
        out = out if bias is None else out.add_(bias)
        return out.unflatten(-2, (self.images, -1))


def visit(
    unit: Unit, stream: Kind, rows: int, action: Callable[[Site, Rows, tuple[Tensor, ...], Tensor], None]
) -> None:
    """`action(site, rows, inputs, wanted)` for each site of the unit, in order, with rows of its own.

    inputs: whole, of `stream`; in the quantized one, what the action does holds for what runs behind. wanted: the output
    rows of the float model, whatever the stream.
    """
    sites = {site.path: site for site in unit.sites}
    seen: dict[str, tuple[Rows, Tensor]] = {}

    def look(twin: Site, inputs: tuple[Tensor, ...]) -> None:
        chosen = choose(twin, inputs, unit.settings.sample, rows, unit.generator)
        seen[twin.path] = chosen, chosen.product(twin, *chosen.operands(twin, inputs))
        if stream == "float":
            act(sites[twin.path], inputs)

    def act(site: Site, inputs: tuple[Tensor, ...]) -> None:
        chosen, wanted = seen[site.path]
        action(site, chosen, inputs, wanted)

    unit.watch("float", look)
    if stream == "quantized":
        unit.watch("quantized", act)


def choose(site: Site, inputs: tuple[Tensor, ...], images: int, rows: int, generator: torch.Generator) -> Rows:
    """`rows` rows of each of `images` images that `inputs` are of, or as many as there are; 0 is all, of all windows."""
    if not site.is_layer:
        per_image, tokens = len(inputs[0]) // images, inputs[0].shape[-2]
        windows = torch.arange(images) * per_image
        if rows:
            windows += torch.randint(per_image, (images,), generator=generator)
        else:
            windows = torch.arange(len(inputs[0]))
        return Rows(images, _drawn(tokens, rows, generator), windows)
    count = inputs[0].shape[:-1].numel() // images
    if isinstance(site.module, QuantConv2d):
        count = _patches(site.module, inputs[0][:1]).shape[1]
    return Rows(images, torch.stack([_drawn(count, rows, generator) for _ in range(images)]))


def _drawn(count: int, rows: int, generator: torch.Generator) -> Tensor:
    """The first of `count` rows and others, ascending: `rows` in all."""
    if not 0 < rows < count:
        return torch.arange(count)
    return (
        torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.randperm(count - 1, generator=generator)[: rows - 1]])
        .sort()
        .values
    )


def _patches(conv: QuantConv2d, x: Tensor) -> Tensor:
    """What each output place of `conv` sees of `x` (B, C, H, W), zeros put around it: (B, places, C kh kw)."""
    padding = conv.padding
    if conv.same:
        x, padding = pad_same(x, list(conv.kernel_size), list(conv.stride), list(conv.dilation)), (0, 0)
    elif isinstance(padding, str):
        reach = [d * (k - 1) // 2 for k, d in zip(conv.kernel_size, conv.dilation, strict=True)]
        padding = tuple(reach) if padding == "same" else (0, 0)
    return F.unfold(x, conv.kernel_size, conv.dilation, padding, conv.stride).mT
