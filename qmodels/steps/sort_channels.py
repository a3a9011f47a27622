"""Sort channels: those of the residual stream in the order of their ranges, so that a group of channels has one range.

A permutation of the channels of the stream changes nothing but the order in which sums are taken: rows of what writes to it,
columns of what reads it, and whatever is added to it or scales it in between, go along. There is one for the whole model,
by the mean over the LayerNorms of the blocks of the range of what each makes, the widest channel of each being 1 (of the
paper, arXiv 2109.12948, one per tensor, matched to each other where the stream ties them). It is made from the float model on
the sample, before the first unit. Plain ViTs and DeiTs have such a stream; where a model has a parameter that this file
does not know, it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hwsim.errors import IllegalModel
from qmodels.ptq.unit import Unit
from qmodels.step import Step

AXES = (
    (r"(cls_token|dist_token|reg_token|pos_embed)", -1),
    (r"patch_embed\.(proj|norm)\.(weight|bias)", 0),
    (r"(norm|norm_pre|fc_norm|blocks\.\d+\.norm[12])\.(weight|bias)", 0),
    (r"blocks\.\d+\.(attn\.proj|mlp\.fc2)\.(weight|bias)", 0),
    (r"blocks\.\d+\.ls[12]\.gamma", 0),
    (r"(blocks\.\d+\.(attn\.qkv|mlp\.fc1)|head|head_dist)\.weight", 1),
    (r"(blocks\.\d+\.(attn\.qkv|mlp\.fc1)|head|head_dist)\.bias", None),
    (r"blocks\.\d+\.(attn\.(q_norm|k_norm|norm)|mlp\.norm)\.(weight|bias)", None),
)
"""Parameters by name, and along which axis they have the channels of the stream; None: along none."""
NORMS = re.compile(r"blocks\.\d+\.norm[12]")


@dataclass(frozen=True, slots=True)
class SortChannels(Step):
    """Nothing to choose."""

    name = "sort_channels"

    @torch.no_grad()
    def run(self, unit: Unit) -> None:
        """Permute the student, at the first unit; its float twin keeps its order."""
        if unit.index:
            return
        axes = axes_of(unit.model)
        order = self.order(unit)
        for name, axis in axes.items():
            parameter = unit.model.get_parameter(name)
            parameter.copy_(parameter.index_select(axis, order.to(parameter.device)))

    def order(self, unit: Unit) -> Tensor:
        """The channels (C,) by ascending range of what the norms of the blocks make."""
        ranges: list[Tensor] = []

        def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
            spread = output.flatten(0, -2).amax(0) - output.flatten(0, -2).amin(0)
            ranges.append(spread / spread.amax())

        norms = [module for name, module in unit.teacher.named_modules() if NORMS.fullmatch(name)]
        handles = [norm.register_forward_hook(hook) for norm in norms]
        try:
            for part in unit.sample("float").split(unit.settings.batch):
                unit.partial.to_end(unit.teacher, 0, part)
        finally:
            for handle in handles:
                handle.remove()
        return torch.stack(ranges).mean(0).argsort(stable=True)


def axes_of(model: nn.Module) -> Mapping[str, int]:
    """The parameters of `model` that have the channels of its stream, and along which axis; raises IllegalModel where a
    parameter is none that is known."""
    found = {}
    for name in (name for name, _ in model.named_parameters() if "_quantizer." not in name):
        axes = [axis for pattern, axis in AXES if re.fullmatch(pattern, name)]
        if not axes:
            raise IllegalModel(
                f"{name}: channels can be sorted where the model is a plain ViT or DeiT, got {type(model).__name__}; "
                "choose peg, which leaves them in their order"
            )
        if axes[0] is not None:
            found[name] = axes[0]
    return found
