"""Programs of whole models, each traced once per session, as shapes alone."""

from collections.abc import Callable

import pytest

from hwsim.accel.program import Program, program
from hwsim.graph import Graph


@pytest.fixture(scope="session")
def graph_at() -> Callable[..., Graph]:
    """The graph of a model by timm's name at these bits, from qmodels."""
    pytest.importorskip("torch")
    from hwsim.cli._options import workload_of
    from qmodels import evidence

    known: dict[tuple[str, int, int, int], Graph] = {}

    def get(name: str, weights: int = 8, activations: int = 8, ends: int = 8) -> Graph:
        key = (name, weights, activations, ends)
        if key not in known:
            known[key] = evidence.skeleton_of(workload_of(*key))
        return known[key]

    return get


@pytest.fixture(scope="session")
def program_of(graph_at: Callable[..., Graph]) -> Callable[[str], Program]:
    """The program of a model at 8 bits."""
    known: dict[str, Program] = {}

    def get(name: str) -> Program:
        if name not in known:
            known[name] = program(graph_at(name))
        return known[name]

    return get
