"""Streams give back what was put, from a file that nobody sees, and say what a disk that is full needs."""

import errno
import gc
import io
import os
import tempfile

import pytest
import torch

from hwsim.errors import HwsimError, IllegalModel
from qmodels.ptq.stream import Stream


def filled(folder, images=7, batch=3, shape=(2, 5)):
    stream, values = Stream(folder, images, batch), torch.randn(images, *shape)
    for part in values.split(batch):
        stream.put(part)
    return stream, values


def test_what_is_put_comes_back(tmp_path):
    stream, values = filled(tmp_path)
    assert [len(part) for part in stream] == [3, 3, 1]
    assert torch.equal(torch.cat(list(stream)), values)
    assert torch.equal(stream.part(2, 6), values[2:6])
    indices = torch.tensor([6, 0, 3, 3])
    assert torch.equal(stream.at(indices), values[indices])


def test_strided_and_double_values_are_stored_as_float32(tmp_path):
    stream, values = Stream(tmp_path, 4, 4), torch.randn(6, 4).mT
    stream.put(values.double())
    assert torch.equal(stream.part(0, 4), values)


def test_its_file_has_no_name_and_goes_with_it(tmp_path):
    stream, _ = filled(tmp_path)
    assert os.listdir(tmp_path) == []
    file = stream._file
    del stream
    gc.collect()
    assert file.closed
    stream, _ = filled(tmp_path)
    stream.remove()
    stream.remove()
    assert stream._file.closed


def test_a_full_disk_is_told_with_what_it_takes(tmp_path, monkeypatch):
    class Full(io.BytesIO):
        def write(self, data):
            if self.tell():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data[:1000])

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda dir, buffering: Full())
    with pytest.raises(HwsimError) as caught:
        Stream(tmp_path, 32, 8).put(torch.zeros(8, 250, 125))
    assert str(caught.value) == (
        f"{tmp_path}: must have room for what lies between units for 32 images, up to five times 4 MB, got No space left "
        "on device; free space, use fewer --images, or choose another --out"
    )


def test_values_that_are_not_of_one_image_each_are_refused(tmp_path):
    stream = Stream(tmp_path, 7, 4)
    with pytest.raises(IllegalModel) as caught:
        stream.put(torch.zeros(16, 3))
    assert str(caught.value) == (
        "calibration: a unit must give values (4, ...) for 4 images, got (16, 3); a block that moves images into other axes "
        "cannot be calibrated"
    )
    stream.put(torch.zeros(4, 3))
    for bad in (torch.zeros(4, 3), torch.zeros(3, 4)):
        with pytest.raises(IllegalModel):
            stream.put(bad)
