"""Accuracy on the splits besides `train`, of any data set, by all processes together."""

from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader

from hwsim.errors import HwsimError
from qmodels import data
from qmodels.training import watch
from qmodels.training.parallel import Group
from workloads.workload import Recipe, Workload

CHUNK = 128
"""Images judged at once, at most; never more than two batches, so that what trains can be judged."""


class Validation:
    """The splits of a workload that there are; `shared` says whether each process looks at its part of the images."""

    def __init__(
        self, workload: Workload, recipe: Recipe, root: Path | None, names: tuple[str, ...], group: Group, shared: bool
    ) -> None:
        self.workload, self.recipe, self.root, self.group, self.shared = workload, recipe, root, group, shared
        self.splits = tuple(split for split in data.splits(workload, root) if split != "train")
        self.images = {split: data.batches(workload, split, root, size=CHUNK) for split in self.splits}
        for split in self.splits if workload.dataset.kind != "digits" else ():
            self._check_classes(split, tuple(self.images[split].dataset.classes), names)

    def _check_classes(self, split: str, found: tuple[str, ...], names: tuple[str, ...]) -> None:
        """Raise HwsimError where `split` has other classes than `train`, whose `names` they are, or in another order."""
        if found == names:
            return
        odd = sorted(set(found) ^ set(names))
        if odd or len(found) != len(names):
            what = f"{odd[0]} in one alone" if odd else "a name in one twice"
            raise HwsimError(
                f"{self.root}/{split}: must have the same {len(names)} classes as train, got {len(found)}, {what}; mend the "
                "data"
            )
        at = next(i for i, (one, other) in enumerate(zip(found, names, strict=True)) if one != other)
        raise HwsimError(
            f"{self.root}/{split}: must have the classes in the order of train, got {found[at]} as class {at}, there "
            f"{names[at]}; save the data again with one order"
        )

    @torch.no_grad()
    def accuracy(self, model: nn.Module, split: str) -> float:
        """Top-1 accuracy of `model` in [0, 1], in eval mode; the model is left in the mode it is in."""
        batches = self.images[split]
        start, stop = 0, batches.images
        if self.shared:
            start, stop = (batches.images * r // self.group.size for r in (self.group.rank, self.group.rank + 1))
        was_training = model.training
        model.eval()
        right, device = 0, self.group.device
        own = torch.Generator()  # else the loader would draw from the one that dropout draws from
        size = min(CHUNK, 2 * self.recipe.batch)
        loader = DataLoader(
            batches.dataset, size, sampler=range(start, stop), num_workers=self.recipe.workers, generator=own
        )
        memory = watch.enough_memory(self.workload.name, f"judging {split}", "batch", self.recipe, device)
        with memory, data.told_in_one_line():
            for images, labels in loader:
                right += int((model(images.to(device)).argmax(1) == labels.to(device)).sum())
        model.train(was_training)
        if self.shared:
            right = int(self.group.sum([right])[0])
        return right / batches.images
