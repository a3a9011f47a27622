"""Stream: what the unit before gave for all calibration images, on disk, so that memory does not grow with their number."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


class Stream:
    """float32 values (images, ...) in a file that is made when the first batch is put, and read batch by batch."""

    def __init__(self, path: Path, images: int, batch: int) -> None:
        self.path, self.images, self.batch = path, images, batch
        self._array: np.memmap | None = None
        self._filled = 0

    def put(self, values: Tensor) -> None:
        """Append a batch (B, ...)."""
        if self._array is None:
            shape = (self.images, *values.shape[1:])
            self._array = np.lib.format.open_memmap(str(self.path), mode="w+", dtype=np.float32, shape=shape)
        self._array[self._filled : self._filled + len(values)] = values.detach().float().cpu().numpy()
        self._filled += len(values)

    def __iter__(self) -> Iterator[Tensor]:
        for start in range(0, self.images, self.batch):
            yield self.part(start, min(start + self.batch, self.images))

    def part(self, start: int, stop: int) -> Tensor:
        """The values of the images `start` to `stop`, less one."""
        assert self._array is not None
        assert self._filled >= stop
        return torch.from_numpy(np.array(self._array[start:stop]))

    def at(self, indices: Tensor) -> Tensor:
        """The values of the images `indices`, ascending or not."""
        assert self._array is not None
        return torch.from_numpy(self._array[indices.numpy()])

    def remove(self) -> None:
        """Remove the file."""
        self._array = None
        self.path.unlink(missing_ok=True)
