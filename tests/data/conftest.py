"""A machine without any data: no variables, an empty cache, no system folders; and small files to put on it."""

import dataclasses
import gzip
import hashlib
import signal
import struct
import sys
import tracemalloc

import numpy as np
import pooch
import pytest

from companion.data import places
from companion.data.sources import SOURCES


@pytest.fixture
def bare_machine(monkeypatch, tmp_path):
    """The folder that is this machine's cache."""
    for variable in ("COMPANION_DATA", "COMPANION_DOWNLOAD", "COMPANION_DATA_URL"):
        monkeypatch.delenv(variable, raising=False)
    cache = tmp_path / "cache"
    monkeypatch.setattr(pooch, "os_cache", lambda project: cache)
    monkeypatch.setattr(places, "SYSTEM_PREFIXES", ())
    monkeypatch.setattr(places, "find_spec", lambda name: None)
    return cache


@pytest.fixture
def no_network(monkeypatch):
    """Any attempt to open a connection fails the test."""

    def refuse(*args, **kwargs):
        raise AssertionError("a socket was opened")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(f"socket.{name}", refuse)


def idx_bytes(array):
    array = np.asarray(array, np.uint8)
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def change_source(monkeypatch):
    """Alter an entry of the table for one test, e.g. its hashes to those of tiny files."""

    def change(name, **fields):
        monkeypatch.setitem(SOURCES, name, dataclasses.replace(SOURCES[name], **fields))

    return change


@pytest.fixture
def tiny_idx(change_source):
    """Make ``fashion-mnist`` and ``mnist`` tiny; returns the four contents of each by file name."""
    contents = {}
    for seed, name in enumerate(("fashion-mnist", "mnist")):
        rng = np.random.default_rng(seed)
        arrays = {}
        for part, n in (("train", 40), ("t10k", 20)):
            arrays[f"{part}-images-idx3-ubyte"] = rng.integers(0, 256, (n, 28, 28))
            arrays[f"{part}-labels-idx1-ubyte"] = rng.permutation(np.arange(n) % 10)
        contents[name] = {file: idx_bytes(array) for file, array in arrays.items()}
        hashes = {file: hashlib.sha256(content).hexdigest() for file, content in contents[name].items()}
        change_source(name, hashes=hashes)
    return contents


@pytest.fixture
def put():
    """Write files into a folder, plain or compressed."""

    def write(folder, contents, compressed=False):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            if compressed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
            else:
                (folder / name).write_bytes(content)
        return folder

    return write


@pytest.fixture
def in_time():
    """A test that waits for a pipe fails after some seconds."""

    def late(*_):
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def peak():
    """The most memory, in bytes, that a call takes on top of what is there."""

    def measure(call):
        tracemalloc.start()
        try:
            call()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    return measure


@pytest.fixture
def snapshot():
    """Everything under a folder: names, contents, times of change."""

    def take(folder):
        return {
            path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
            for path in (folder, *sorted(folder.rglob("*")))
        }

    return take


@pytest.fixture
def in_fresh_python():
    """Run a snippet in a new interpreter; returns what it prints."""
    import subprocess

    def run(code):
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()

    return run
