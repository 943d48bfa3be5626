"""Spreading work over processes here, or over Dask or Ray elsewhere: through joblib but for Ray."""

import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from itertools import islice
from typing import Any, Literal, TypeVar

from kpasim.errors import RunError

Backend = Literal["local", "dask", "ray"]

AHEAD = 2
"""Jobs of each worker that are handed out at a time. Of more, loky would keep some in a list of its own, which an
interrupt that finds it unsettles."""
WORK = "import kpasim.studies.sweep"
"""What a worker must be able to do."""

_ENDED = {
    "BrokenProcessPool", "TerminatedWorkerError", "KilledWorker", "WorkerCrashedError", "ActorDiedError",
    "RaySystemError",
}  # fmt: skip
"""Errors of loky, Dask and Ray that tell of a worker which is gone, or cannot read its work."""

_Job = TypeVar("_Job")
_Done = TypeVar("_Done")


def spread(
    task: Callable[[_Job], _Done],
    jobs: Sequence[_Job],
    *,
    backend: Backend = "local",
    address: str | None = None,
    processes: int = 0,
) -> Iterator[_Done]:
    """Results of a task for each job, in the order in which they are finished.

    What is not finished is abandoned when the iterator is closed or interrupted.

    Args:
        task: A function of a module, so that other processes find it.
        jobs: What to call it with.
        backend: ``local`` for processes of this machine (none where one is enough), ``dask`` or ``ray`` for a cluster.
        address: Scheduler of the cluster; without one, workers are started on this machine.
        processes: Local processes, or workers started on this machine; 0 for one on each core.

    Raises:
        RunError: The backend is not installed, its cluster cannot be reached, or a worker ends before its job does.
    """
    count = processes or os.cpu_count() or 1
    if backend == "local" and (count == 1 or len(jobs) < 2):
        yield from map(task, jobs)
        return
    import joblib

    with ExitStack() as stack:
        stack.enter_context(_said_in_a_line(backend))
        settings = stack.enter_context(_BACKENDS[backend](address, count))
        if backend == "ray":
            yield from _by_ray(task, jobs)
            return
        with joblib.parallel_config(**settings):
            calls = [joblib.delayed(task)(job) for job in jobs]
            parallel = joblib.Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch=f"{AHEAD} * n_jobs")
            with _interrupted_afterwards():
                results = parallel(calls)
                # In here: an interrupt that waited is raised at the end, and is to end the workers before joblib does.
                stack.callback(_abandon, results)
                if backend == "local":
                    stack.callback(_kill_workers, patience_s=10.0)
            # Not `yield from`: that would hand the end of this generator to joblib before the workers are ended.
            while True:
                with _ended_by_interrupt():
                    left = list(islice(results, 1))
                if not left:
                    return
                yield left[0]


@contextmanager
def _said_in_a_line(backend: Backend) -> Iterator[None]:
    """Say that a worker ended, or never began; joblib, Dask and Ray tell it in pages."""
    try:
        yield
    except Exception as error:
        names = {one.__name__ for one in type(error).__mro__}
        if names.isdisjoint(_ENDED):
            raise
        cause = getattr(error, "cause", None) or error  # Ray's own begin with where they were raised
        why = (str(cause).strip().splitlines() or [type(error).__name__])[0]
        message = f"--backend {backend}: a worker could not start, or ended before its work was done ({why})"
        raise RunError(message) from None


def _by_ray(task: Callable[[_Job], _Done], jobs: Sequence[_Job]) -> Iterator[_Done]:
    """Results of calls by Ray's own tasks: joblib's backend starts further processes, and waits for whole lists."""
    import ray

    # The task is an argument: of a function that a worker cannot import Ray says so in pages, and of a kind of its own.
    call = ray.remote(max_retries=0)(lambda task, job: task(job))
    ahead, left = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1))), iter(jobs)
    running: list[Any] = []
    try:
        while True:
            running += [call.remote(task, job) for job in islice(left, ahead - len(running))]
            if not running:
                return
            done, running = ray.wait(running)
            try:
                found = ray.get(done[0])
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            yield found
    finally:
        for one in running:
            ray.cancel(one, force=True)


@contextmanager
def _local(address: str | None, count: int) -> Iterator[dict[str, Any]]:
    """Processes of this machine."""
    from multiprocessing import resource_tracker

    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.backend import resource_tracker as resource_tracker_of_loky

    # Starting one of these unblocks Ctrl-C, which is to stay blocked while workers are started.
    resource_tracker.ensure_running()
    resource_tracker_of_loky.ensure_running()
    own: dict[str, Any] = {"initializer": _prepare, "initargs": (os.getpid(),)}
    try:
        yield {"backend": "loky", "n_jobs": count, "inner_max_num_threads": 1, **own}
    finally:
        with warnings.catch_warnings(action="ignore"):
            # The one that there is; asked for without its own settings, it would be ended and another one made.
            get_reusable_executor(reuse=True).shutdown(wait=False, kill_workers=True)


@contextmanager
def _interrupted_afterwards() -> Iterator[None]:
    """Let Ctrl-C wait: an interrupt while workers are being started fails in joblib in as many ways as it has lines."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: asked.append(number))
    # Ctrl-C goes to workers as well; those that have just begun would die of it, and say so. They inherit the mask.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, before)
    if asked:
        raise KeyboardInterrupt


@contextmanager
def _ended_by_interrupt() -> Iterator[None]:
    """Let Ctrl-C end the workers, not joblib: interrupted while it waits, it ends them in the way that races."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: list[int] = []

    def end(number: int, frame: object) -> None:
        asked.append(number)
        _kill_workers()

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    except Exception:
        if not asked:
            raise
    finally:
        signal.signal(signal.SIGINT, before)
    if asked:
        raise KeyboardInterrupt


def _kill_workers(patience_s: float = 0.0) -> None:
    """End the local workers, and wait some seconds until loky's thread has noticed and dropped the work that is left.

    Asked to do this by itself, loky forgets its jobs but not the queue of their numbers: its thread then ends with a
    KeyError on stderr, and a semaphore stays, if a worker took a job just before. Dead workers are a case it handles.
    """
    for process in multiprocessing.active_children():
        if process.name.startswith("LokyProcess") and process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
    for thread in threading.enumerate():
        if thread.name == "ExecutorManagerThread":
            thread.join(patience_s)


def _abandon(results: Generator[Any, None, None]) -> None:
    """Drop what is not finished; nothing where all is."""
    with warnings.catch_warnings(action="ignore"):  # joblib complains of work that is abandoned
        results.close()


def _prepare(parent: int) -> None:
    """Leave Ctrl-C to the parent, and go when it has gone: a killed one cannot say so, and may be gone already."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


@contextmanager
def _dask(address: str | None, count: int) -> Iterator[dict[str, Any]]:
    """A Dask cluster, or one of local processes."""
    try:
        from distributed import Client
    except ImportError:
        raise _missing("dask") from None
    try:
        if address:
            client = Client(address, timeout=10, set_as_default=True)
        else:
            client = Client(n_workers=count, threads_per_worker=1, processes=True, dashboard_address=None)
    except (OSError, ValueError, RuntimeError) as error:
        if address:
            raise RunError(f"--address {address}: no Dask scheduler there ({error})") from None
        why = str(error).strip().splitlines()[0]
        raise RunError(f"--backend dask: no worker could be started here ({why})") from None
    with closing(client):
        try:
            # A worker that cannot read its work would ask for it again, for ever.
            client.run(exec, WORK)
        except ImportError as error:
            raise RunError(f"--backend dask: a worker cannot import kpasim ({error})") from None
        yield {"backend": "dask", "n_jobs": -1}


@contextmanager
def _ray(address: str | None, count: int) -> Iterator[dict[str, Any]]:
    """A Ray cluster, or one of local processes; what runs already is used, and goes on."""
    try:
        import ray
    except ImportError:
        raise _missing("ray") from None
    if ray.is_initialized():
        yield {}
        return
    here: dict[str, Any] = {"address": address} if address else {"num_cpus": count, "include_dashboard": False}
    try:
        ray.init(log_to_driver=False, logging_level="error", **here)
    except (ConnectionError, ValueError, RuntimeError) as error:
        if address:
            raise RunError(f"--address {address}: no Ray cluster there ({error})") from None
        raise RunError(f"--backend ray: no worker could be started here ({error})") from None
    try:
        yield {}
    finally:
        ray.shutdown()


_BACKENDS: dict[str, Callable[[str | None, int], AbstractContextManager[dict[str, Any]]]] = {
    "local": _local,
    "dask": _dask,
    "ray": _ray,
}


def _missing(extra: str) -> RunError:
    return RunError(f"--backend {extra}: not installed (pip install 'kpasim[{extra}]')")
