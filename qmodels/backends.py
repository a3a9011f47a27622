"""Who works: this process, or several of one machine or of a cluster, through joblib.

    loky    processes of this machine
    dask    a dask.distributed cluster: the scheduler's at an address, else one of this machine, made and closed here
    ray     a ray cluster, likewise

joblib, distributed and ray are imported only when they are asked for.
"""

import importlib
import logging
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from hwsim.catalog import unknown
from hwsim.errors import HwsimError

BACKENDS = ("loky", "dask", "ray")
_PACKAGES = {"loky": "joblib", "dask": "distributed", "ray": "ray"}


@dataclass(frozen=True, slots=True)
class Workers:
    """`jobs` workers of a `backend`, each with `threads` threads (None: the cores shared out; of a cluster's own, one).

    scheduler: the address of a cluster of dask or ray. Raises HwsimError where the backend is not there.
    """

    jobs: int = 1
    backend: str = "loky"
    scheduler: str | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise unknown("backend", self.backend, BACKENDS)
        if self.scheduler and self.backend == "loky":
            raise HwsimError("scheduler: is of the backends dask and ray, got loky; give --backend")
        if self.scheduler and self.jobs == 1:
            raise HwsimError("scheduler: is of several workers, got 1, which is this process; give more --jobs")
        package = _PACKAGES[self.backend]
        try:
            importlib.import_module(package)
        except ImportError:
            extra = "models" if self.backend == "loky" else self.backend
            raise HwsimError(
                f"backend: {self.backend} needs the package {package}, got none; pip install 'hwsim[{extra}]'"
            ) from None

    @property
    def threads_each(self) -> int:
        """Threads of one worker."""
        import joblib

        return self.threads or (1 if self.scheduler else max(1, joblib.cpu_count() // self.jobs))

    def results(self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        """What `function` gives for each of `arguments`, as they are done; it must have a name that workers can import.

        Errors of the function are raised here. Raises HwsimError where a worker dies.
        """
        import joblib

        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # see hwsim.cli.main; workers inherit it
        local = self.backend == "loky"
        calls = [(_alone, (function, given), {}) if local else (function, given, {}) for given in arguments]
        with ExitStack() as stack, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "A worker stopped while|.*tasks which were still being|.*not used")
            stack.enter_context(_STARTED[self.backend](self))
            options = {"n_jobs": self.jobs, "batch_size": 1, "pre_dispatch": "2*n_jobs"}
            try:
                if self.backend == "ray":  # which gives results back in lists only
                    parallel = stack.enter_context(joblib.Parallel(**options))
                    for start in range(0, len(calls), self.jobs):
                        yield from parallel(calls[start : start + self.jobs])
                else:
                    parallel = joblib.Parallel(**options, return_as="generator_unordered")
                    yield from stack.enter_context(closing(parallel(calls)))
            except _lost(self.backend) as error:
                raise HwsimError(
                    f"workers: must live until their work is done, got {type(error).__name__}; lower --jobs or "
                    "--shard-images if memory ran out, and run the command again: finished shards are kept"
                ) from None


def _alone(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Call it in a process that is deaf to Ctrl-C, which its parent hears, and that does not outlive its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _follow(os.getppid())
    return function(*arguments)


@cache
def _follow(parent: int) -> None:
    """Have this process end when it is no longer a child of `parent`."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _lost(backend: str) -> tuple[type[Exception], ...]:
    """The errors that say that a worker is no more."""
    if backend == "dask":
        from distributed.scheduler import KilledWorker, NoValidWorkerError

        return KilledWorker, NoValidWorkerError
    if backend == "ray":
        from ray.exceptions import RayError

        return (RayError,)
    return (BrokenProcessPool,)


@contextmanager
def _loky(workers: Workers) -> Iterator[None]:
    import joblib

    with joblib.parallel_config(backend="loky", inner_max_num_threads=workers.threads_each):
        yield


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that start within do not hear Ctrl-C."""
    here = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if here else None
    try:
        yield
    finally:
        if here:
            signal.signal(signal.SIGINT, before)


@contextmanager
def _dask(workers: Workers) -> Iterator[None]:
    import joblib
    from distributed import Client, LocalCluster

    with ExitStack() as stack:
        address: Any = workers.scheduler
        if address is None:
            with _deaf():
                options = {"dashboard_address": None, "silence_logs": logging.CRITICAL}
                cluster = LocalCluster(n_workers=workers.jobs, threads_per_worker=1, **options)
            address = stack.enter_context(cluster)
        try:
            client = stack.enter_context(Client(address, timeout=10))
        except (OSError, ValueError) as error:
            raise _unreachable(workers, error) from None
        stack.enter_context(joblib.parallel_config(backend=_dask_backend(client)))
        yield


def _dask_backend(client: Any) -> Any:
    """joblib's own, which as it is waits for ever for work that the cluster gave up."""
    from joblib._dask import DaskDistributedBackend

    class Backend(DaskDistributedBackend):  # type: ignore[misc]
        def submit(self, func: Any, callback: Any = None) -> Any:
            future = super().submit(func, callback)
            future.add_done_callback(lambda done: callback(done.exception()) if done.exception() else None)
            return future

        def retrieve_result_callback(self, out: Any) -> Any:
            if isinstance(out, Exception):
                raise out
            return super().retrieve_result_callback(out)

    return Backend(client=client)


@contextmanager
def _ray(workers: Workers) -> Iterator[None]:
    import joblib
    import ray
    from ray.util.joblib import register_ray

    try:
        local = {} if workers.scheduler else {"num_cpus": workers.jobs, "include_dashboard": False}
        ray.init(address=workers.scheduler, log_to_driver=False, logging_level="error", **local)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _unreachable(workers, error) from None
    register_ray()
    try:
        with joblib.parallel_config(backend="ray"):
            yield
    finally:
        ray.shutdown()


def _unreachable(workers: Workers, error: Exception) -> HwsimError:
    return HwsimError(
        f"{workers.backend}: a cluster must answer at {workers.scheduler or 'this machine'}, got {error}; check --scheduler"
    )


_STARTED: dict[str, Callable[[Workers], AbstractContextManager[None]]] = {"loky": _loky, "dask": _dask, "ray": _ray}
