"""Workers do what they are given; those that are not there, or die, get one line."""

import importlib
import os

import pytest

from hwsim.errors import HwsimError, UnknownName
from qmodels.backends import Workers
from workloads import datasets


@pytest.fixture
def hide(monkeypatch):
    """What follows happens as if a package were not installed."""

    def one(package):
        load = importlib.import_module

        def gone(name, *rest):
            if name == package:
                raise ModuleNotFoundError(name)
            return load(name, *rest)

        monkeypatch.setattr(importlib, "import_module", gone)

    return one


@pytest.fixture(scope="module", params=["loky", "dask", "ray"])
def workers(request):
    if request.param != "loky":
        pytest.importorskip({"dask": "distributed", "ray": "ray"}[request.param])
    return Workers(2, request.param)


def test_they_do_all_that_they_are_given(workers):
    assert sorted(workers.results(divmod, [(n, 3) for n in range(7)])) == sorted(divmod(n, 3) for n in range(7))
    assert list(workers.results(divmod, [])) == []


def test_their_errors_are_raised_here(workers):
    with pytest.raises(UnknownName, match="dataset: unknown name, got 'digitz'; known, nearest first: digits, "):
        list(workers.results(datasets.find, [("digits",), ("digitz",)]))


def test_one_that_dies_is_told(workers):
    with pytest.raises(HwsimError) as caught:
        list(workers.results(os._exit, [(1,)]))
    died = {"loky": "TerminatedWorkerError", "dask": "KilledWorker", "ray": "ActorDiedError"}[workers.backend]
    assert str(caught.value) == (
        f"workers: must live until their work is done, got {died}; lower --jobs or --shard-images if memory ran out, "
        "and run the command again: finished shards are kept"
    )


def test_the_cores_are_shared_out(monkeypatch):
    import joblib

    monkeypatch.setattr(joblib, "cpu_count", lambda: 8)
    assert [Workers(jobs).threads_each for jobs in (1, 2, 3, 8, 9)] == [8, 4, 2, 1, 1]
    assert Workers(3, threads=5).threads_each == 5


@pytest.mark.parametrize(("backend", "package"), [("dask", "distributed"), ("ray", "ray"), ("loky", "joblib")])
def test_a_package_that_is_not_there(hide, backend, package):
    hide(package)
    extra = "models" if backend == "loky" else backend
    with pytest.raises(HwsimError) as caught:
        Workers(2, backend)
    assert str(caught.value) == (
        f"backend: {backend} needs the package {package}, got none; pip install 'hwsim[{extra}]'"
    )


def test_the_other_backends_are_not_imported_unless_asked_for(hide):
    hide("distributed")
    hide("ray")
    Workers(2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((2, "lokey"), "backend: unknown name, got 'lokey'; known, nearest first: loky, ray, dask"),
        ((2, "loky", "host:1"), "scheduler: is of the backends dask and ray, got loky; give --backend"),
        ((1, "dask", "host:1"), "scheduler: is of several workers, got 1, which is this process; give more --jobs"),
    ],
)
def test_what_cannot_be(given, message):
    with pytest.raises(HwsimError) as caught:
        Workers(*given)
    assert str(caught.value) == message


def test_a_cluster_that_is_not_there():
    pytest.importorskip("distributed")
    with pytest.raises(HwsimError) as caught:
        list(Workers(2, "dask", "tcp://127.0.0.1:1").results(divmod, [(1, 1)]))
    said = str(caught.value)
    assert said.startswith("dask: a cluster must answer at tcp://127.0.0.1:1, got ")
    assert said.endswith("; check --scheduler")
