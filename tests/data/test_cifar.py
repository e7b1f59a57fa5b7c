"""CIFAR from tiny archives in the publisher's layout, with their own hashes put into the table."""

import gzip
import hashlib
import io
import os
import pickle
import tarfile

import numpy as np
import pytest

from companion.data import DatasetCorruptError, load_dataset
from companion.data.sources import SOURCES

PIXELS = np.random.default_rng(0).integers(0, 256, (60, 3072), dtype=np.uint8)


def archive(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0)


def batch(first, last, key):
    # protocol 2 with byte keys: how the publisher's Python 2 wrote them
    return pickle.dumps({b"data": PIXELS[first:last], key: [k % 10 for k in range(first, last)]}, protocol=2)


@pytest.fixture
def cifar10(bare_machine, no_network, change_source, tmp_path):
    """A folder with a tiny CIFAR-10: five batches of ten images, ten test images."""
    members = {"cifar-10-batches-py/batches.meta": b"not a pickle, and not to be opened"}
    for k in (3, 1, 5, 2, 4):  # the archive's order is not the batches'
        members[f"cifar-10-batches-py/data_batch_{k}"] = batch(10 * k - 10, 10 * k, b"labels")
    members["cifar-10-batches-py/test_batch"] = batch(50, 60, b"labels")
    content = archive(members)
    change_source("cifar10", hashes={"cifar-10-python.tar.gz": hashlib.sha256(content).hexdigest()})
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "cifar-10-python.tar.gz").write_bytes(content)
    return folder


def test_images_are_channel_major_and_batches_in_order(cifar10):
    data = load_dataset("cifar10", normalize="none", data_dir=cifar10)
    assert data.x_train.shape == (50, 3, 32, 32)
    np.testing.assert_array_equal(data.x_train.reshape(50, -1), PIXELS[:50])
    np.testing.assert_array_equal(data.x_test.reshape(10, -1), PIXELS[50:])
    assert data.y_train.tolist() == [k % 10 for k in range(50)]
    assert data.image_shape == (3, 32, 32)


def test_colour_images_are_normalized_per_channel(cifar10):
    data = load_dataset("cifar10", data_dir=cifar10, dtype="float64")
    np.testing.assert_allclose(data.x_train.mean(axis=(0, 2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(data.x_train.std(axis=(0, 2, 3)), 1)


def test_cifar100_takes_the_fine_labels(bare_machine, no_network, change_source, tmp_path):
    def both(first, last):
        n = last - first
        return pickle.dumps({b"data": PIXELS[first:last], b"coarse_labels": [0] * n, b"fine_labels": [99] * n}, 2)

    content = archive({"cifar-100-python/train": both(0, 20), "cifar-100-python/test": both(20, 30)})
    change_source("cifar100", hashes={"cifar-100-python.tar.gz": hashlib.sha256(content).hexdigest()})
    (tmp_path / "cifar-100-python.tar.gz").write_bytes(content)
    data = load_dataset("cifar100", data_dir=tmp_path)
    assert set(data.y_train) == set(data.y_test) == {99}
    assert len(data.x_train) == 20
    assert data.n_classes == 100


class Trap:
    """Unpickling it leaves a mark."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (type(self.mark).touch, (self.mark,))


def test_an_archive_with_another_hash_is_never_unpickled(cifar10, tmp_path):
    mark = tmp_path / "mark"
    trap = archive({"cifar-10-batches-py/test_batch": pickle.dumps(Trap(mark))})
    (cifar10 / "cifar-10-python.tar.gz").write_bytes(trap)
    with pytest.raises(DatasetCorruptError, match="was not opened"):
        load_dataset("cifar10", data_dir=cifar10)
    assert not mark.exists()


def test_the_trap_would_have_worked(tmp_path):
    pickle.loads(pickle.dumps(Trap(tmp_path / "mark")))
    assert (tmp_path / "mark").exists()


def test_unpacked_batches_without_the_archive_are_not_trusted(cifar10, bare_machine):
    (cifar10 / "cifar-10-python.tar.gz").rename(cifar10 / "elsewhere")
    (cifar10 / "cifar-10-batches-py").mkdir()
    (cifar10 / "cifar-10-batches-py" / "test_batch").write_bytes(batch(0, 10, b"labels"))
    with pytest.raises(FileNotFoundError, match="not unpacked"):
        load_dataset("cifar10", data_dir=cifar10)


def test_the_second_load_reads_the_cache_and_unpickles_nothing(cifar10, bare_machine, monkeypatch):
    first = load_dataset("cifar10", data_dir=cifar10)
    (kept,) = bare_machine.rglob("*.npz")
    assert kept.parent == bare_machine / "cifar10"

    def refuse(*args, **kwargs):
        raise AssertionError("unpickled again")

    monkeypatch.setattr(pickle, "load", refuse)
    again = load_dataset("cifar10", data_dir=cifar10)
    np.testing.assert_array_equal(again.x_train, first.x_train)
    np.testing.assert_array_equal(again.y_test, first.y_test)


@pytest.mark.parametrize("damage", ["truncated", "changed", "stranger", "pickled"])
def test_a_damaged_copy_in_the_cache_is_made_anew(cifar10, bare_machine, damage):
    first = load_dataset("cifar10", data_dir=cifar10)
    (kept,) = bare_machine.rglob("*.npz")
    good = kept.read_bytes()
    if damage == "truncated":
        kept.write_bytes(good[:-100])
    elif damage == "stranger":
        kept.write_bytes(b"no archive at all")
    else:
        with np.load(kept) as stored:
            arrays = dict(stored)
        arrays["y_train"] = arrays["y_train"][::-1].astype(object if damage == "pickled" else np.uint8)
        np.savez(kept, **arrays)
    again = load_dataset("cifar10", data_dir=cifar10)
    np.testing.assert_array_equal(again.x_train, first.x_train)
    np.testing.assert_array_equal(again.y_train, first.y_train)
    with np.load(kept, allow_pickle=False) as stored:
        np.testing.assert_array_equal(stored["y_train"], first.y_train)


@pytest.mark.parametrize("kind", ["pipe", "folder", "bomb"])
def test_what_is_no_copy_in_the_cache_is_not_read(cifar10, bare_machine, in_time, peak, change_source, kind):
    first = load_dataset("cifar10", data_dir=cifar10)
    (kept,) = bare_machine.rglob("*.npz")
    kept.unlink()
    if kind == "pipe":
        os.mkfifo(kept)
    elif kind == "folder":
        kept.mkdir()
    else:
        change_source("cifar10", hashes=SOURCES["cifar10"].hashes, megabytes=1)
        np.savez_compressed(kept, x_train=np.zeros(10**8, np.uint8))

    def load():
        again = load_dataset("cifar10", data_dir=cifar10)
        np.testing.assert_array_equal(again.x_train, first.x_train)

    assert peak(load) < 20 * 10**6


def test_a_cache_that_cannot_be_written_costs_time_only(cifar10, bare_machine):
    bare_machine.write_text("a file where the folder should be")
    assert load_dataset("cifar10", data_dir=cifar10).y_test.tolist() == list(range(10))
    assert bare_machine.read_text() == "a file where the folder should be"


def test_nothing_is_left_half_written(cifar10, bare_machine, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    assert len(load_dataset("cifar10", data_dir=cifar10).x_train) == 50
    assert [path for path in bare_machine.rglob("*") if path.is_file()] == []
