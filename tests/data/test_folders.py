"""Finding and verifying the files of a dataset in folders."""

import gzip
import os

import numpy as np
import pytest

from companion.data import DatasetCorruptError, DatasetError, DatasetNotFoundError, available, load_dataset, places
from companion.data.loader import find
from companion.data.sources import SOURCES

LAYOUTS = ["", "fashion-mnist", "FashionMNIST/raw"]


@pytest.fixture
def folder(bare_machine, no_network, tmp_path):
    return tmp_path / "mine"


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("through", ["argument", "variable"])
def test_files_are_found_in_every_layout(folder, tiny_idx, put, monkeypatch, compressed, layout, through):
    put(folder / layout, tiny_idx["fashion-mnist"], compressed)
    if through == "variable":
        monkeypatch.setenv("COMPANION_DATA", os.pathsep.join(["", "/no/such/folder", str(folder)]))
        data = load_dataset("fashion-mnist", normalize="none")
        assert data.source == "found in COMPANION_DATA"
    else:
        data = load_dataset("fashion-mnist", normalize="none", data_dir=folder)
        assert data.source == "found in data_dir"
    images = np.frombuffer(tiny_idx["fashion-mnist"]["train-images-idx3-ubyte"], np.uint8, offset=16)
    np.testing.assert_array_equal(data.x_train, images.reshape(40, 28, 28))
    assert data.x_test.shape == (20, 28, 28)
    assert data.y_train.dtype == np.int64
    assert data.path == folder / layout


def test_plain_and_compressed_files_may_be_mixed(folder, tiny_idx, put):
    files = tiny_idx["mnist"]
    put(folder, {name: files[name] for name in list(files)[:2]})
    put(folder, {name: files[name] for name in list(files)[2:]}, compressed=True)
    assert load_dataset("mnist", data_dir=folder).name == "mnist"


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gz"])
def test_a_dot_for_the_hyphen_is_the_same_name(folder, tiny_idx, put, compressed):
    put(folder, {name.replace("-idx", ".idx"): content for name, content in tiny_idx["mnist"].items()}, compressed)
    assert load_dataset("mnist", data_dir=folder).sha256
    path = folder / ("t10k-labels.idx1-ubyte" + ".gz" * compressed)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(DatasetCorruptError, match=r"t10k-labels\.idx1-ubyte"):
        load_dataset("mnist", data_dir=folder)


def test_a_small_gz_that_inflates_to_a_large_file_is_left_before_it_does(folder, tiny_idx, put, peak):
    put(folder, tiny_idx["fashion-mnist"], compressed=True)
    path = folder / "train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(bytes(200 * 10**6), 1))

    def load():
        with pytest.raises(DatasetCorruptError, match=r"train-labels-idx1-ubyte\.gz is too large") as caught:
            load_dataset("fashion-mnist", data_dir=folder)
        assert str(path) in str(caught.value)

    assert peak(load) < 100 * 10**6  # MNIST's own images are 47 MB


@pytest.mark.parametrize(
    ("dataset", "name", "says"),
    [
        ("mnist", "train-images-idx3-ubyte", "too large"),
        ("mnist", "train-images-idx3-ubyte.gz", "too large"),
        ("cifar10", "cifar-10-python.tar.gz", "too large"),
        ("movielens-small", "ml-latest-small.zip", "too large"),
        ("movielens-small", "movielens.pkl.compress", "too large"),
        ("movielens-small", "ratings.csv", "too large"),
        ("text", "text/mine.txt", "too large"),
    ],
)
def test_a_huge_file_is_not_read_to_its_end(folder, tiny_idx, put, peak, monkeypatch, dataset, name, says):
    monkeypatch.setattr(SOURCES["cifar10"].__class__, "most_bytes", 10**6)
    monkeypatch.setattr("companion.data.movielens.MOST_BYTES", 10**6)
    if dataset == "mnist":
        put(folder, {k: v for k, v in tiny_idx["mnist"].items() if not name.startswith(k)})
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("wb") as file:
        file.truncate(2 * 10**9)  # no bytes on the disk, all of them zero

    def load():
        with pytest.raises(DatasetCorruptError, match=says) as caught:
            load_dataset(dataset, data_dir=folder)
        assert "Gi" not in str(caught.value)

    assert peak(load) < 100 * 10**6


@pytest.mark.parametrize("kind", ["pipe", "folder", "loop", "device"])
@pytest.mark.parametrize(
    ("dataset", "names"),
    [
        ("mnist", ["train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"]),
        ("cifar10", ["cifar-10-python.tar.gz"]),
        ("movielens-small", ["ml-latest-small.zip", "ratings.csv", "movies.csv", "movielens.pkl.compress"]),
        ("text", ["text/mine.txt"]),
    ],
)
def test_what_is_named_like_a_file_and_is_none_is_passed_over(folder, in_time, monkeypatch, kind, dataset, names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        {
            "pipe": os.mkfifo,
            "folder": os.mkdir,
            "loop": lambda path: os.symlink(path, path),
            "device": lambda path: os.symlink("/dev/zero", path),
        }[kind](path)
    monkeypatch.setenv("COMPANION_DATA", str(folder))
    if dataset == "text":
        assert "standard library" in load_dataset("text", n_train=10).source
    else:
        with pytest.raises(DatasetNotFoundError, match="not on this machine"):
            load_dataset(dataset)
    assert len(available()) == len(SOURCES)


def test_a_pipe_in_the_cache_is_neither_read_nor_downloaded_over(folder, bare_machine, in_time):
    path = bare_machine / "mnist" / "train-images-idx3-ubyte.gz"
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    with pytest.raises(DatasetNotFoundError, match="is not a file"):
        load_dataset("mnist", download=True)


@pytest.mark.parametrize("entry", ["~nobody-of-this-name/data", "x" * 5000, "loop"])
def test_a_folder_that_cannot_be_looked_up_is_no_folder(folder, monkeypatch, entry):
    folder.mkdir()
    if entry == "loop":
        entry = str(folder / "loop")
        os.symlink(entry, entry)
    monkeypatch.setenv("COMPANION_DATA", entry)
    with pytest.raises(DatasetNotFoundError, match="not on this machine"):
        load_dataset("mnist")
    with pytest.raises(DatasetNotFoundError, match="data_dir: got"):
        load_dataset("mnist", data_dir=entry)
    assert len(available()) == len(SOURCES)


def test_a_file_that_cannot_be_read_is_passed_over_and_named(folder, tiny_idx, put, monkeypatch):
    put(folder, tiny_idx["mnist"])

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("companion.data.idx.read_at_most", fail)
    with pytest.raises(DatasetNotFoundError, match="Input/output error"):
        load_dataset("mnist", data_dir=folder)


@pytest.mark.parametrize(
    "trouble", [RuntimeError("two\nlines"), MemoryError(), DatasetError("a reason\n  and more"), ValueError("")]
)
def test_the_list_has_one_line_for_each_dataset_whatever_is_wrong_with_one(
    bare_machine, no_network, trouble, monkeypatch
):
    def fail(*_):
        raise trouble

    monkeypatch.setattr("companion.data.loader._PACKAGED", {"scikit-learn": (fail, ""), "fashion-mini": (fail, "")})
    entries = available()
    assert [entry.name for entry in entries] == list(SOURCES)
    assert all(len(entry.status.splitlines()) == 1 for entry in entries)
    assert entries[0].status.startswith("unusable: ")


def test_a_line_break_in_a_folder_does_not_break_the_list(folder, tiny_idx, put, monkeypatch, tmp_path):
    mine = put(tmp_path / "two\nlines" / "mnist", tiny_idx["mnist"])
    monkeypatch.setenv("COMPANION_DATA", str(mine.parent))
    (status,) = (entry.status for entry in available() if entry.name == "mnist")
    assert status.startswith("found at ")
    assert len(status.splitlines()) == 1


def test_the_argument_replaces_the_variable(folder, tiny_idx, put, monkeypatch, tmp_path):
    put(folder, tiny_idx["mnist"])
    monkeypatch.setenv("COMPANION_DATA", str(folder))
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(DatasetNotFoundError):
        load_dataset("mnist", data_dir=other)


def test_a_distribution_package_is_found_without_any_setting(folder, tiny_idx, put, monkeypatch, tmp_path):
    put(tmp_path / "usr/share/datasets/fashion-mnist", tiny_idx["fashion-mnist"], compressed=True)
    monkeypatch.setattr(places, "SYSTEM_PREFIXES", (str(tmp_path / "nowhere"), str(tmp_path / "usr")))
    assert load_dataset("fashion-mnist").source == "found in share/datasets/fashion-mnist"


def test_the_user_folder_is_not_written_to(folder, tiny_idx, put, snapshot):
    put(folder, tiny_idx["fashion-mnist"], compressed=True)
    folder.chmod(0o555)
    before = snapshot(folder)
    load_dataset("fashion-mnist", data_dir=folder)
    folder.chmod(0o755)
    assert {path: content for path, (_, content) in snapshot(folder).items()} == {
        path: content for path, (_, content) in before.items()
    }
    assert snapshot(folder) == before


def corrupted(content, how):
    if how == "magic":
        return b"\0\0\x0d" + content[3:]
    if how == "truncated":
        return content[:-7]
    if how == "longer":
        return content + b"\0"
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("magic", "not the magic number"),
        ("truncated", "announces"),
        ("longer", "announces"),
        ("one bit", "holds other values"),
    ],
)
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_corrupt_content_is_an_error_and_is_left_alone(folder, tiny_idx, put, snapshot, compressed, how, reason, name):
    files = tiny_idx["fashion-mnist"] | {name: corrupted(tiny_idx["fashion-mnist"][name], how)}
    put(folder, files, compressed)
    before = snapshot(folder)
    with pytest.raises(DatasetCorruptError, match=reason) as caught:
        load_dataset("fashion-mnist", data_dir=folder)
    message = str(caught.value)
    first = message.splitlines()[0]
    assert "fashion-mnist" in first
    assert name in first
    assert SOURCES["fashion-mnist"].hashes[name] in message
    assert str(folder / name) in message
    assert "left untouched" in message
    assert snapshot(folder) == before


@pytest.mark.parametrize("damage", [lambda gz: gz[:-30], lambda gz: gz[:2] + b"rubbish", lambda gz: b"not gzip"])
def test_a_damaged_gz_is_corrupt(folder, tiny_idx, put, damage):
    put(folder, tiny_idx["fashion-mnist"], compressed=True)
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DatasetCorruptError, match="cannot be decompressed"):
        load_dataset("fashion-mnist", data_dir=folder)


def test_a_corrupt_file_is_not_passed_over_for_a_good_one(folder, tiny_idx, put, monkeypatch, tmp_path):
    files = tiny_idx["mnist"]
    broken = put(tmp_path / "broken", files | {"train-labels-idx1-ubyte": b"\0\0\x08\x01\0\0\0\0"})
    put(folder, files)
    monkeypatch.setenv("COMPANION_DATA", os.pathsep.join(map(str, (broken, folder))))
    with pytest.raises(DatasetCorruptError):
        load_dataset("mnist")


def test_a_label_file_of_mnist_beside_fashion_images_is_rejected(folder, tiny_idx, put):
    name = "t10k-labels-idx1-ubyte"
    put(folder, tiny_idx["fashion-mnist"] | {name: tiny_idx["mnist"][name]})
    with pytest.raises(DatasetCorruptError, match=f"{name} .*it is that of mnist"):
        load_dataset("fashion-mnist", data_dir=folder)


def test_mnist_and_fashion_are_told_apart_by_content(folder, tiny_idx, put):
    put(folder, tiny_idx["mnist"])
    put(folder / "FashionMNIST/raw", tiny_idx["fashion-mnist"])
    assert load_dataset("mnist", data_dir=folder).path == folder
    assert load_dataset("fashion-mnist", data_dir=folder).path == folder / "FashionMNIST/raw"
    assert load_dataset("mnist", data_dir=folder).sha256 != load_dataset("fashion-mnist", data_dir=folder).sha256


def test_a_folder_with_the_other_dataset_only_is_not_this_one(folder, tiny_idx, put):
    put(folder / "fashion-mnist", tiny_idx["mnist"])
    with pytest.raises(DatasetNotFoundError, match="holds mnist"):
        load_dataset("fashion-mnist", data_dir=folder)


@pytest.mark.parametrize("missing", range(4))
def test_three_of_four_files_are_not_a_dataset(folder, tiny_idx, put, missing):
    files = tiny_idx["mnist"]
    put(folder, {name: files[name] for k, name in enumerate(files) if k != missing})
    with pytest.raises(DatasetNotFoundError, match="3 of 4 files"):
        load_dataset("mnist", data_dir=folder)


def test_the_not_found_message_lists_every_way_and_every_folder(folder, monkeypatch, tmp_path):
    folder.mkdir()
    monkeypatch.setenv("COMPANION_DATA", os.pathsep.join([str(folder), str(tmp_path / "absent")]))
    monkeypatch.setattr(places, "SYSTEM_PREFIXES", ("/opt/nothing",))
    with pytest.raises(DatasetNotFoundError) as caught:
        load_dataset("fashion-mnist")
    message = str(caught.value)
    assert message.splitlines()[0] == "'fashion-mnist' is not on this machine and downloading is off."
    for part in [
        *SOURCES["fashion-mnist"].hashes,
        "COMPANION_DATA=",
        "data_dir",
        "dataset-fashion-mnist",
        "download=True",
        "COMPANION_DOWNLOAD=1",
        "fashion-mini",
        "digits",
        *(str(root / layout) for root in (folder, tmp_path / "absent") for layout in LAYOUTS),
        "/opt/nothing/share/datasets/fashion-mnist",
        str(tmp_path / "cache"),
    ]:
        assert part in message
    assert isinstance(caught.value, FileNotFoundError)


@pytest.mark.parametrize("name", ["mnist", "cifar10", "cifar100", "movielens-small"])
def test_what_is_missing_is_never_replaced(folder, name):
    with pytest.raises(DatasetNotFoundError, match=name):
        load_dataset(name)


def test_a_data_dir_that_is_no_folder_is_named(folder):
    with pytest.raises(DatasetNotFoundError, match=r"data_dir: got '.*mine', which is not a folder"):
        load_dataset("mnist", data_dir=folder)


def test_a_folder_that_may_not_be_read_is_passed_over_and_named(folder, monkeypatch):
    folder.mkdir()

    def refuse(source, place):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("companion.data.loader._IN_FOLDERS", {"idx": refuse})
    with pytest.raises(DatasetNotFoundError, match="no permission"):
        find(SOURCES["mnist"], data_dir=folder)
