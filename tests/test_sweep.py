import socket
import threading
import time

import pytest

from companion import sweep as sweeping
from companion.execution import InputError, ProgramError
from companion.parameters import Parameters
from companion.sweep import Failure, sweep


def runs(*seeds):
    return [("demo", Parameters.resolve(device="cpu", seed=seed)) for seed in seeds]


@pytest.fixture
def judged(monkeypatch):
    """A chapter that measures the square of its seed, fails at seed 13, and says who listens while it runs."""

    def judge_demo(slug, params):  # local, so that it travels to other processes by value
        import psutil

        from companion.claims import Verdicts

        if params.seed == 13:
            raise ValueError("thirteen")
        if params.seed >= 1000:
            time.sleep(1)
        family = [psutil.Process(), *psutil.Process().parents()[:2]]
        listening = [c.laddr for p in family for c in p.net_connections() if c.status == psutil.CONN_LISTEN]
        quantities = {"square": params.seed**2, "listening": sorted(address.ip for address in listening)}
        return Verdicts(slug, params.profile, params.seed, params.device, (), quantities)

    monkeypatch.setattr(sweeping, "judge_run", judge_demo)


@pytest.mark.parametrize("jobs", [1, 2])
def test_verdicts_come_in_order_whatever_the_processes_and_a_run_that_fails_is_named_beside_them(judged, jobs):
    seeds = [5, 0, 13, 4, 2]
    ended = []
    outcomes = sweep(runs(*seeds), jobs=jobs, progress=lambda slug, params: ended.append(params.seed))
    failed = outcomes.pop(2)
    assert [verdicts.quantities["square"] for verdicts in outcomes] == [25, 0, 16, 4]
    assert sorted(ended) == sorted(seeds)
    assert isinstance(failed, Failure)
    assert isinstance(failed.error, ValueError)
    assert str(failed) == "demo, seed 13: ValueError: thirteen"
    if jobs > 1:
        listening = outcomes[0].quantities["listening"]
        assert set(listening) == {"127.0.0.1"}
        assert len(listening) <= 4  # scheduler, a worker and two nannies: no dashboards


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(sweeping, "CONNECTING", 1.0)
    monkeypatch.setattr(sweeping, "WORKERS", 1.0)


@pytest.fixture
def mute():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def web_page():
    def answer():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        threading.Thread(target=answer, daemon=True).start()
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("address", ["", "nonsense", "gopher://127.0.0.1:70", "tcp://127.0.0.1:1", "127.0.0.1:99999"])
def test_an_address_where_nobody_answers_is_refused_in_one_line(impatient, address):
    began = time.monotonic()
    with pytest.raises(InputError) as caught:
        sweep(runs(1), cluster=address)
    assert str(caught.value).startswith(f"--cluster: got {address!r}, where no Dask scheduler answers")
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("other", ["mute", "web_page"])
def test_somebody_else_at_the_address_is_not_waited_for(impatient, request, other):
    with pytest.raises(InputError, match="where no Dask scheduler answers"):
        sweep(runs(1), cluster=request.getfixturevalue(other))


def test_a_scheduler_without_workers_is_not_waited_for(impatient):
    from dask.distributed import LocalCluster

    with (
        LocalCluster(n_workers=0, dashboard_address=None, host="127.0.0.1") as local,
        pytest.raises(InputError, match="which has no workers"),
    ):
        sweep(runs(1), cluster=local.scheduler_address)


def test_a_cluster_gives_the_verdicts_and_its_loss_is_noticed(judged, impatient):
    from dask.distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as local:
        (verdicts,) = sweep(runs(6), cluster=local.scheduler_address)
        assert verdicts.quantities["square"] == 36
        with pytest.raises(ProgramError, match=r"all workers went away, with \d runs to go"):
            sweep(runs(*range(1000, 1004)), cluster=local.scheduler_address, progress=lambda *_: local.scale(0))
