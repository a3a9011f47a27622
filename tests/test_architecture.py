"""The joints of the house: who imports whom, what loads what, and how long a file may be."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hwsim
from hwsim.graph import Node, build
from hwsim.ops.dequantize import Dequantize
from hwsim.ops.linear import Linear
from hwsim.ops.quantize import Quantize
from hwsim.spec import QuantSpec, TensorSpec

ROOT = Path(__file__).parents[1]
PACKAGES = ("hwsim", "qmodels", "workloads", "reports")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
BLOCK = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)
sys.meta_path.insert(0, Blocker())
"""


def python(*arguments):
    """Run Python in the repository; its stdout."""
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def without(*modules):
    return BLOCK.format(blocked=set(modules))


@pytest.fixture
def stored(tmp_path):
    weight = np.array([[1, -2], [3, 4], [-8, 7]], np.int8)
    grid = QuantSpec(4, True, (0.5, 0.25, 1.0), (0, 0, 0), 0)
    nodes = [
        Node("codes", Quantize(QuantSpec(4, False, (0.5,), (3,))), ("x",)),
        Node("acc", Linear(), ("codes", "weight")),
        Node("y", Dequantize(), ("acc",)),
    ]
    constants = {"weight": (weight, TensorSpec(weight.shape, grid, batched=False))}
    graph = build("stored", {"x": TensorSpec((1, 2))}, constants, nodes, ["y"])
    hwsim.save(graph, tmp_path / "graph")
    return tmp_path / "graph"


def test_a_stored_graph_runs_where_there_is_no_torch(stored):
    code = f"""{without("torch", "timm", "torchvision", "sklearn", "matplotlib", "qmodels", "reports")}
import numpy, hwsim
graph = hwsim.load({str(stored)!r})
print(hwsim.simulate(graph, {{"x": numpy.array([[0.5, -1.0]])}})["y"].tolist())
"""
    assert python("-c", code) == "[[1.25, -0.625, -11.0]]\n"


def test_the_blocker_blocks():
    done = subprocess.run([sys.executable, "-c", without("torch") + "import torch"], capture_output=True, check=False)
    assert b"torch is blocked" in done.stderr


HEAVY = ("numba", "torch", "timm", "matplotlib", "sklearn", "networkx")


@pytest.mark.parametrize("module", ["hwsim", "hwsim.cli", "hwsim.catalog", "workloads"])
def test_light_imports(module):
    """Every one of the heavy packages is refused, so nothing can have been loaded on the sly."""
    python("-c", without(*HEAVY) + f"import {module}")


def test_help_loads_nothing_heavy():
    arguments = "import sys, runpy; sys.argv = ['hwsim', '--help']; runpy.run_module('hwsim', run_name='__main__')"
    out = python("-c", without(*HEAVY) + arguments)
    assert "Usage" in out
    assert "Usage" in python("-m", "hwsim", "--help")


def test_the_public_names_of_the_package_exist():
    assert all(getattr(hwsim, name) is not None for name in hwsim.__all__)
    with pytest.raises(AttributeError, match=r"^module 'hwsim' has no attribute 'nothing'$"):
        _ = hwsim.nothing


def test_no_file_is_long():
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in FILES}
    assert {name: lines for name, lines in long.items() if lines > 400} == {}


def test_no_file_is_a_drawer_for_everything():
    assert [path for path in FILES if path.stem in {"utils", "helpers", "common", "misc"}] == []


def test_import_contracts():
    out = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert out.returncode == 0, out.stdout + out.stderr
