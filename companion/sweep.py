"""Many runs of chapters, in this process, on this machine's cores or on a Dask cluster.

Needs the ``sweeps`` extra (``dask[distributed]``) for more than one process.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from companion.catalogue import find
from companion.claims import Verdicts
from companion.execution import InputError, ProgramError
from companion.parameters import Parameters

CONNECTING = 5.0  # seconds in which a scheduler answers
WORKERS = 15.0  # seconds in which it has workers


@dataclass(frozen=True)
class Failure:
    """A run that ended in an error."""

    slug: str
    params: Parameters
    error: Exception

    def __str__(self):
        return f"{self.slug}, seed {self.params.seed}: {type(self.error).__name__}: {self.error}"


def judge_run(slug: str, params: Parameters) -> Verdicts:
    """Run a chapter's experiments with these parameters and judge its claims."""
    module = find(slug).module
    return module.verify(params, module.run(params))


def sweep(
    runs: Iterable[tuple[str, Parameters]],
    *,
    jobs: int = 1,
    cluster: str | None = None,
    progress: Callable[[str, Parameters], None] | None = None,
) -> list[Verdicts | Failure]:
    """Judge many runs and return their verdicts in the order given, a failure in the place of a run that failed.

    Parameters
    ----------
    runs : chapter name and resolved parameters of each run
    jobs : processes on this machine, each with one thread
    cluster : address of a Dask scheduler instead, e.g. ``"tcp://10.0.0.5:8786"``; its workers need this package
    progress : called with name and parameters as each run ends

    Raises
    ------
    InputError
        If there is no scheduler at that address, or it has no workers.
    ProgramError
        If all workers are lost on the way.

    Notes
    -----
    A run depends on its parameters alone, so the verdicts are the same whatever the number of processes.
    """
    runs = list(runs)
    if (jobs == 1 or len(runs) == 1) and cluster is None:
        outcomes = []
        for slug, params in runs:
            try:
                outcomes.append(judge_run(slug, params))
            except Exception as error:
                outcomes.append(Failure(slug, params, error))
            if progress:
                progress(slug, params)
        return outcomes
    with _client(min(jobs, len(runs)), cluster) as client:
        # pure=False: two runs with the same parameters are two runs.
        futures = [client.submit(judge_run, slug, params, pure=False) for slug, params in runs]
        position = {future.key: k for k, future in enumerate(futures)}
        outcomes = [None] * len(runs)
        for future, outcome in _as_they_end(futures, client):
            slug, params = runs[k := position[future.key]]
            outcomes[k] = outcome if future.status == "finished" else Failure(slug, params, _error(outcome))
            if progress:
                progress(slug, params)
        return outcomes


def _error(outcome: Any) -> Exception:
    """The error among what Dask gives of a run that failed: a triple as of ``sys.exc_info``, or a cancellation."""
    error = outcome[1] if isinstance(outcome, tuple) else outcome
    return error if isinstance(error, Exception) else ProgramError(f"the run was given up ({type(error).__name__})")


def _as_they_end(futures: list[Any], client: Any) -> Iterator[tuple[Any, Any]]:
    """Dask's futures with their results as they end. Without workers they would never."""
    from dask.distributed import as_completed

    # With results: they are fetched at once, since they are lost with the worker that has them.
    ending = as_completed(futures, with_results=True, raise_errors=False)
    left, seen = len(futures), time.monotonic()
    while left:
        if ending.has_ready():
            for pair in ending.next_batch(block=False):
                left -= 1
                yield pair
            seen = time.monotonic()
        else:
            time.sleep(0.02)
            if time.monotonic() - seen > WORKERS:
                if client.status != "running":
                    raise ProgramError(f"cluster: the scheduler went away, with {left} runs to go")
                if not client.nthreads():
                    raise ProgramError(f"cluster: all workers went away, with {left} runs to go")
                seen = time.monotonic()


@contextmanager
def _client(jobs: int, cluster: str | None) -> Iterator[Any]:
    try:
        from dask.distributed import Client, LocalCluster
    except ImportError:
        raise InputError("--jobs and --cluster need dask: pip install 'dask[distributed]', allowed: --jobs 1") from None

    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # its troubles are told in our words
    if cluster is not None:
        with _connected(cluster) as client:
            yield client
        return
    with (
        LocalCluster(n_workers=jobs, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as local,
        Client(local) as client,
    ):
        # There is no dashboard, but what would serve it listens all the same.
        local.scheduler.http_server.stop()
        client.run(_stop_serving)
        yield client


def _stop_serving(dask_worker: Any) -> None:
    dask_worker.http_server.stop()


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    from dask.distributed import Client

    try:
        with ThreadPoolExecutor(1) as thread:  # of its own, since this one may have an event loop already
            kind = thread.submit(asyncio.run, _greet(address)).result()
        if kind != "Scheduler":
            raise InputError(f"it is a {kind}")
        client = Client(address, timeout=CONNECTING)
    except Exception as error:
        why = error if isinstance(error, InputError) else type(error).__name__
        raise InputError(f"--cluster: got {address!r}, where no Dask scheduler answers ({why})") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=WORKERS)
        except TimeoutError:
            raise InputError(f"--cluster: got {address!r}, which has no workers") from None
        yield client


async def _greet(address: str) -> str:
    """What answers there. Dask's client would wait for ever for somebody who does not speak its language."""
    from distributed.core import rpc

    async def ask() -> str:
        async with rpc(address, timeout=CONNECTING) as other:
            return (await other.identity())["type"]

    return await asyncio.wait_for(ask(), CONNECTING)
