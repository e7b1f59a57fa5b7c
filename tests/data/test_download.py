"""Downloading, from a server of the test's own on this machine."""

import functools
import hashlib
import http.server
import threading

import pytest
import requests

from companion.data import DatasetArgumentError, DatasetCorruptError, DatasetNotFoundError, load_dataset
from companion.data.download import allowed, base_url
from companion.data.sources import SOURCES


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, bare_machine, monkeypatch):
    """A folder that is served, with ``COMPANION_DATA_URL`` pointing at it; ``close()`` takes the server down."""
    root = tmp_path / "served"
    root.mkdir()
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(root)))
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("COMPANION_DATA_URL", f"http://127.0.0.1:{httpd.server_port}/")
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)

    class Server:
        folder = root
        closed = False

        def close(self):
            if not self.closed:
                httpd.shutdown()
                httpd.server_close()
                thread.join()
                self.closed = True

    running = Server()
    yield running
    running.close()


def test_nothing_is_downloaded_unless_allowed(bare_machine, no_network, monkeypatch):
    for value in (None, "", "0", "no"):
        if value is not None:
            monkeypatch.setenv("COMPANION_DOWNLOAD", value)
        for name in ("fashion-mnist", "mnist", "cifar10", "cifar100", "movielens-small"):
            with pytest.raises(DatasetNotFoundError, match="downloading is off"):
                load_dataset(name)
    assert not bare_machine.exists()


def test_the_argument_overrules_the_variable(monkeypatch):
    monkeypatch.setenv("COMPANION_DOWNLOAD", "1")
    assert allowed(None)
    assert not allowed(False)
    monkeypatch.delenv("COMPANION_DOWNLOAD")
    assert not allowed(None)
    assert allowed(True)


@pytest.mark.parametrize("through", ["argument", "variable"])
def test_a_download_fills_the_cache_once(server, bare_machine, tiny_idx, put, monkeypatch, capfd, through):
    put(server.folder / "fashion-mnist", tiny_idx["fashion-mnist"], compressed=True)
    if through == "variable":
        monkeypatch.setenv("COMPANION_DOWNLOAD", "1")
    first = load_dataset("fashion-mnist", download=True if through == "argument" else None)
    assert first.source == "download cache"
    assert first.path == bare_machine / "fashion-mnist"
    server.close()
    again = load_dataset("fashion-mnist", download=False)
    assert again.describe() == first.describe()
    assert (again.x_train == first.x_train).all()
    assert capfd.readouterr() == ("", "")


def test_a_download_leaves_the_user_folder_alone(server, tiny_idx, put, snapshot, tmp_path):
    put(server.folder / "mnist", tiny_idx["mnist"], compressed=True)
    mine = put(tmp_path / "mine", {"train-images-idx3-ubyte": tiny_idx["mnist"]["train-images-idx3-ubyte"]})
    before = snapshot(mine)
    load_dataset("mnist", download=True, data_dir=mine)
    assert snapshot(mine) == before


def test_wrong_content_is_refused_and_not_kept(server, bare_machine, tiny_idx, put):
    put(server.folder / "fashion-mnist", tiny_idx["mnist"], compressed=True)
    with pytest.raises(DatasetCorruptError, match="was not kept"):
        load_dataset("fashion-mnist", download=True)
    assert [path for path in bare_machine.rglob("*") if path.is_file()] == []
    put(server.folder / "fashion-mnist", tiny_idx["fashion-mnist"], compressed=True)
    assert load_dataset("fashion-mnist", download=True).source == "download cache"


def test_an_archive_with_a_wrong_hash_is_refused_and_not_kept(server, bare_machine, change_source, put):
    change_source("cifar10", hashes={"cifar-10-python.tar.gz": hashlib.sha256(b"the archive").hexdigest()})
    put(server.folder / "cifar10", {"cifar-10-python.tar.gz": b"something else"})
    with pytest.raises(DatasetCorruptError, match="was not kept"):
        load_dataset("cifar10", download=True)
    assert [path for path in bare_machine.rglob("*") if path.is_file()] == []


def test_a_file_that_changed_in_the_cache_is_corrupt_not_fetched_again(server, bare_machine, tiny_idx, put):
    put(server.folder / "mnist", tiny_idx["mnist"], compressed=True)
    load_dataset("mnist", download=True)
    path = bare_machine / "mnist" / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(b"spoilt")
    with pytest.raises(DatasetCorruptError, match="t10k-labels"):
        load_dataset("mnist", download=True)
    assert path.read_bytes() == b"spoilt"


def test_a_missing_file_on_the_server_is_one_clear_error(server, tiny_idx):
    with pytest.raises(
        DatasetNotFoundError, match=r"'mnist' could not be downloaded from http\S+/mnist/.*404"
    ) as caught:
        load_dataset("mnist", download=True)
    assert isinstance(caught.value.__cause__, requests.exceptions.RequestException)
    assert len(str(caught.value).splitlines()) == 1


def test_a_server_that_is_down_is_one_clear_error(server, tiny_idx):
    server.close()
    with pytest.raises(DatasetNotFoundError, match="could not be downloaded") as caught:
        load_dataset("mnist", download=True)
    assert isinstance(caught.value.__cause__, requests.exceptions.RequestException)


def test_a_cache_that_cannot_be_written_is_one_clear_error(server, bare_machine, tiny_idx):
    bare_machine.write_text("a file where the folder should be")
    with pytest.raises(DatasetNotFoundError, match="could not be downloaded"):
        load_dataset("mnist", download=True)


def test_a_mirror_replaces_every_host(monkeypatch):
    monkeypatch.setenv("COMPANION_DATA_URL", "https://mirror.example/data/")
    for source in SOURCES.values():
        assert base_url(source) == f"https://mirror.example/data/{source.name}"


@pytest.mark.parametrize("mirror", ["mirror.example/data", "file:///data", "https://", "https://[bad", "//host/data"])
def test_a_mirror_that_is_no_address_is_named_and_nothing_is_fetched(bare_machine, no_network, monkeypatch, mirror):
    monkeypatch.setenv("COMPANION_DATA_URL", mirror)
    with pytest.raises(DatasetArgumentError, match=r"COMPANION_DATA_URL: got .*scheme") as caught:
        load_dataset("mnist", download=True)
    assert len(str(caught.value).splitlines()) == 1
    assert not bare_machine.exists()


def test_without_a_mirror_every_downloadable_set_has_a_host(monkeypatch):
    monkeypatch.delenv("COMPANION_DATA_URL", raising=False)
    for source in SOURCES.values():
        if source.remote:
            assert base_url(source).startswith("http")
            assert not base_url(source).endswith("/")
