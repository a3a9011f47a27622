import re
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hwsim.errors import BadFile
from hwsim.tensors import digest, read_array, read_tensors, write_arrays, write_tensors

DTYPES = st.sampled_from(("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "float32", "float64"))
ARRAYS = DTYPES.flatmap(
    lambda dtype: hnp.arrays(
        dtype,
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
        elements={"allow_nan": False, "allow_infinity": False} if "float" in dtype else None,
    )
)


@given(tensors=st.dictionaries(st.text(min_size=1, max_size=8).filter("__metadata__".__ne__), ARRAYS, max_size=4))
def test_round_trip(tmp_path_factory, tensors):
    path = tmp_path_factory.getbasetemp() / "tensors"
    write_tensors(tensors, {"note": "seven"}, "test/1", path)
    again, metadata = read_tensors(path, "test/1", "again")
    said = {"note": "seven", "format": "test/1"}
    assert metadata == {**said, "sha256": digest(tensors, said)}
    assert again.keys() == tensors.keys()
    for name, array in tensors.items():
        assert (again[name].dtype, again[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(again[name], array)


def test_the_digest_sees_names_types_and_shapes():
    zeros = np.zeros(4, np.int8)
    variants = [{"a": zeros}, {"b": zeros}, {"a": zeros.astype(np.uint8)}, {"a": zeros.reshape(2, 2)}, {}]
    assert len({digest(variant, {}) for variant in variants}) == len(variants)
    assert digest({"a": zeros, "b": zeros}, {}) == digest({"b": zeros, "a": zeros}, {})


def test_the_digest_sees_the_metadata(tmp_path):
    path = tmp_path / "t"
    write_tensors({"w": np.zeros(2)}, {"scale": "0.5"}, "test/1", path)
    path.write_bytes(path.read_bytes().replace(b"0.5", b"0.6"))
    with pytest.raises(BadFile) as caught:
        read_tensors(path, "test/1", "make it again")
    assert re.fullmatch(
        f"{path}: must have sha256 [0-9a-f]{{12}}, got [0-9a-f]{{12}}; the file is damaged, make it again",
        str(caught.value),
    )


def test_written_twice_is_the_same_file(tmp_path):
    """Whatever the order of the metadata, in this process and in another."""
    metadata = {name: name * 3 for name in "dcfabge"}
    tensors = {name: np.zeros(i + 1, np.int8) for i, name in enumerate("bca")}
    for i in range(8):
        write_tensors(tensors, dict(reversed(metadata.items())) if i % 2 else metadata, "test/1", tmp_path / str(i))
    assert len({(tmp_path / str(i)).read_bytes() for i in range(8)}) == 1


def test_where_a_number_is_not_finite(tmp_path):
    array = np.zeros((2, 3), np.float32)
    array[1, 2] = -np.inf
    write_tensors({"fine": np.zeros(2), "w": array}, {}, "test/1", tmp_path / "t")
    with pytest.raises(BadFile) as caught:
        read_tensors(tmp_path / "t", "test/1", "make it again")
    assert str(caught.value) == f"{tmp_path / 't'}: values must be finite, got -inf in w at [1, 2]; make it again"


@pytest.mark.parametrize(
    "header",
    [
        b'{"a":' + b"[" * 100_000,
        b'{"a":{"data_offsets":[0,"x"]}}',
        b'{"a":{"data_offsets":[0,1e999]}}',
        b'{"a":{"data_offsets":[0]}}',
        b'{"a":[0,1]}',
        b'{"__metadata__":[]}',
        b'{"__metadata__":{"hwsim":"\xff"}}',
        b'{"__metadata__":{"hwsim":"[]"}}',
        b'{"__metadata__":{"hwsim":"' + b"[" * 100_000 + b'"}}',
        b'{"__metadata__":{"hwsim":3}}',
        b"{]",
    ],
)
def test_hostile_headers(tmp_path, header):
    path = tmp_path / "t"
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0")
    with pytest.raises(BadFile) as caught:
        read_tensors(path, "test/1", "make it again")
    assert (
        str(caught.value)
        == f"{path}: must be a safetensors file, got {path.read_bytes()[:4]!r} at its start; make it again"
    )


def test_a_type_that_numpy_lacks(tmp_path):
    header = b'{"__metadata__":{"hwsim":"{\\"format\\":\\"test/1\\"}"},"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
    (tmp_path / "t").write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0")
    with pytest.raises(BadFile, match=r"t: is a damaged safetensors file, got 'BF16'; make it again$"):
        read_tensors(tmp_path / "t", "test/1", "make it again")


def test_arrays(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.arange(6).reshape(2, 3))
    assert read_array(path).tolist() == [[0, 1, 2], [3, 4, 5]]
    write_arrays({"blocks.0.fc1": np.ones((2, 2), np.int8), "y": np.zeros(3)}, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz", allow_pickle=False) as values:
        assert {name: values[name].tolist() for name in values.files} == {
            "blocks.0.fc1": [[1, 1], [1, 1]],
            "y": [0, 0, 0],
        }


def test_bad_arrays(tmp_path):
    objects, text, archive, cut, missing = (tmp_path / name for name in ("o.npy", "t.npy", "a.npz", "c.npy", "m.npy"))
    np.save(objects, np.array([{}], dtype=object), allow_pickle=True)
    np.save(text, np.array(["a"]))
    np.savez(archive, a=np.zeros(2))
    np.save(cut, np.zeros(100))
    cut.write_bytes(cut.read_bytes()[:-1])
    tmp_path.joinpath("e.npy").touch()
    for path in (objects, text, archive, cut, missing, tmp_path, tmp_path / "e.npy"):
        with pytest.raises(BadFile) as caught:
            read_array(path)
        assert str(caught.value).startswith(f"{path}: must be a .npy file of numbers, got ")
        assert "\n" not in str(caught.value)
