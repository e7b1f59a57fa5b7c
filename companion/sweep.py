"""Many runs of chapters, in this process, on this machine's cores or on a Dask cluster.

Needs the ``sweeps`` extra (``dask[distributed]``) for more than one process.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from companion.catalogue import find
from companion.claims import Verdicts
from companion.parameters import Parameters


def grid(values: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """All combinations: ``{"n": [8, 16], "seed": [0, 1]}`` gives four dictionaries, the last name varying fastest."""
    return [dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())]


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
) -> list[Verdicts]:
    """Judge many runs and return their verdicts in the order given.

    Parameters
    ----------
    runs : chapter name and resolved parameters of each run
    jobs : processes on this machine, each with one thread
    cluster : address of a Dask scheduler instead, e.g. ``"tcp://10.0.0.5:8786"``; its workers need this package
    progress : called with name and parameters as each run ends

    Notes
    -----
    A run depends on its parameters alone, so the verdicts are the same whatever the number of processes.
    """
    runs = list(runs)
    if jobs == 1 and cluster is None:
        verdicts = []
        for slug, params in runs:
            verdicts.append(judge_run(slug, params))
            if progress:
                progress(slug, params)
        return verdicts
    from dask.distributed import as_completed

    with _client(jobs, cluster) as client:
        # pure=False: two runs with the same parameters are two runs.
        futures = [client.submit(judge_run, slug, params, pure=False) for slug, params in runs]
        position = {future.key: k for k, future in enumerate(futures)}
        for future in as_completed(futures):
            if progress:
                progress(*runs[position[future.key]])
        return client.gather(futures)


@contextmanager
def _client(jobs: int, cluster: str | None):
    from dask.distributed import Client, LocalCluster

    if cluster is not None:
        with Client(cluster) as client:
            yield client
    else:
        with (
            LocalCluster(n_workers=jobs, threads_per_worker=1, dashboard_address=None) as local,
            Client(local) as client,
        ):
            yield client
