"""Stream: what the unit before gave for all calibration images, on disk, so that memory does not grow with their number.

It lies in a file without a name, which the system takes away with the process that has it, however that ends.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hwsim.errors import HwsimError, IllegalModel


class Stream:
    """Values (images, ...) of one dtype on the disk of `folder`, put batch by batch and read batch by batch.

    Raises HwsimError where the disk is full, or does not take or give what it should.
    """

    def __init__(self, folder: Path, images: int, batch: int) -> None:
        self.folder, self.images, self.batch = folder, images, batch
        self.shape: tuple[int, ...] = ()
        """Of an image's values, once there are some."""
        self.dtype = torch.float32
        self._filled = 0
        self._file: Any = None

    def put(self, values: Tensor) -> None:
        """Append a batch (B, ...)."""
        room = min(self.batch, self.images - self._filled)
        if len(values) != room or (self._filled and tuple(values.shape[1:]) != self.shape):
            raise IllegalModel(
                f"calibration: a unit must give values ({room}, ...) for {room} images, got "
                f"{tuple(values.shape)}; a block that moves images into other axes cannot be calibrated"
            )
        self.shape, self.dtype = tuple(values.shape[1:]), values.dtype
        data = memoryview(np.ascontiguousarray(values.detach().cpu().numpy())).cast("B")
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self.folder, buffering=0)  # noqa: SIM115 - see `remove`
            self._file.seek(0, os.SEEK_END)
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            raise self._failed(error) from None
        self._filled += len(values)

    def __iter__(self) -> Iterator[Tensor]:
        for start in range(0, self.images, self.batch):
            yield self.part(start, min(start + self.batch, self.images))

    def part(self, start: int, stop: int) -> Tensor:
        """The values of the images `start` to `stop`, less one."""
        assert self._filled >= stop
        found = torch.empty(stop - start, *self.shape, dtype=self.dtype)
        self._read(found, start)
        return found

    def at(self, indices: Tensor) -> Tensor:
        """The values of the images `indices`, ascending or not."""
        found = torch.empty(len(indices), *self.shape, dtype=self.dtype)
        for one, index in zip(found.split(1), indices.tolist(), strict=True):
            self._read(one, index)
        return found

    def _read(self, into: Tensor, start: int) -> None:
        """Fill `into` (B, ...) with the values from the image `start` on."""
        data = memoryview(into.numpy()).cast("B")
        try:
            self._file.seek(start * into[0].numel() * into.element_size())
            while data:
                count = self._file.readinto(data)
                if not count:
                    raise OSError("less than was written")
                data = data[count:]
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> HwsimError:
        size = self.dtype.itemsize * self.images * int(np.prod(self.shape)) / 1e6
        return HwsimError(
            f"{self.folder}: must have room for what lies between units for {self.images} images, up to five times "
            f"{size:.0f} MB, got {error.strerror or error}; free space, use fewer --images, or choose another --out"
        )

    def remove(self) -> None:
        """Give the room on the disk back."""
        if self._file is not None:
            self._file.close()

    def __del__(self) -> None:
        self.remove()
