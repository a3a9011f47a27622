from pathlib import Path

import pytest

from hwsim.errors import BadFile
from hwsim.files import check_folder, check_writable, write_bytes, write_text


def refused(call, *arguments):
    with pytest.raises(BadFile) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_folders_are_made(tmp_path):
    write_text("häuser\n", tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").read_bytes() == "häuser\n".encode()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["write_bytes", "replace"])
def test_a_file_is_left_whole_when_writing_fails(tmp_path, monkeypatch, step, error):
    path = tmp_path / "records"
    write_bytes(b"old", path)
    real = Path.write_bytes

    def fail(self, *arguments):
        if step == "write_bytes":
            real(self, b"ne")
        raise error

    monkeypatch.setattr(Path, step, fail)
    if isinstance(error, OSError):
        text = refused(write_bytes, b"new", path)
        assert text == f"{path}: cannot be written, got No space left on device; choose another place"
    else:
        with pytest.raises(KeyboardInterrupt):
            write_bytes(b"new", path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_unwritable_places(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    assert refused(write_bytes, b"", file / "b") == (
        f"{file / 'b'}: cannot be written, got File exists; choose another place"
    )
    assert (
        refused(write_bytes, b"", tmp_path)
        == f"{tmp_path}: cannot be written, got Is a directory; choose another place"
    )
    assert refused(write_bytes, b"", Path()).startswith(".: cannot be written, got ")
    long = tmp_path / ("n" * 300)
    assert refused(write_bytes, b"", long) == f"{long}: cannot be written, got File name too long; choose another place"
    assert file.read_text() == "x"


def test_check_writable(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    for path in (file, tmp_path / "new", tmp_path / "new" / "deep"):
        check_writable(path)
    assert refused(check_writable, tmp_path) == f"{tmp_path}: must be a file to write, got a folder; name a file in it"
    below = file / "b" / "c"
    assert refused(check_writable, below) == (
        f"{below}: cannot be written, got {file}, which is no folder; choose another place"
    )
    long = tmp_path / ("n" * 300)
    assert refused(check_writable, long) == f"{long}: cannot be written, got File name too long; choose another place"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_check_folder(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    check_folder(tmp_path)
    check_folder(tmp_path / "new" / "deep")
    assert refused(check_folder, file) == (
        f"{file}: cannot be written, got a file where a folder is needed; choose another folder"
    )
    assert "which is no folder" in refused(check_folder, file / "below")
    assert "got File name too long" in refused(check_folder, tmp_path / ("n" * 300))


def test_no_permission(tmp_path, monkeypatch):
    def refuse(**_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    assert refused(check_writable, tmp_path / "x") == (
        f"{tmp_path / 'x'}: cannot be written, got Permission denied; choose another place"
    )
