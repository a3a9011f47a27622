import subprocess
import sys

import pytest

from qmodels import torchvision_shim


def test_status_is_one_of_two_words():
    assert torchvision_shim.STATUS in ("native", "shimmed")


def test_timm_imports_after_the_shim_with_warnings_as_errors():
    code = "import qmodels.torchvision_shim as s, timm, torchvision; print(s.STATUS)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == torchvision_shim.STATUS


def test_a_healthy_installation_declares_nothing():
    if torchvision_shim.STATUS == "native":
        assert torchvision_shim._library is None


def test_another_runtime_error_is_not_swallowed(monkeypatch):
    def broken(_name):
        raise RuntimeError("something else")

    monkeypatch.setattr(torchvision_shim.importlib, "import_module", broken)
    with pytest.raises(RuntimeError, match="something else"):
        torchvision_shim._load()
