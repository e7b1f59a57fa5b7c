"""What ships in packages: scikit-learn's sets and the Fashion-MNIST stand-in."""

from importlib.metadata import files as distribution_files
from importlib.resources import files
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn import datasets

from companion.data import DatasetCorruptError, DatasetNotFoundError, load_dataset
from companion.data.fashion_mini import FILE, read_bundled, rebuild
from companion.data.parts import array_digest
from companion.data.sources import SOURCES

PACKAGED = [name for name, source in SOURCES.items() if source.reader in ("scikit-learn", "fashion-mini")]


@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_sets_load_without_network_in_the_sizes_of_the_table(name, bare_machine, no_network):
    source, data = SOURCES[name], load_dataset(name)
    assert data.x_train.shape == (source.n_train, *source.shape)
    assert data.x_test.shape == (source.n_test, *source.shape)
    assert data.y_train.shape == (source.n_train,)
    assert data.y_test.shape == (source.n_test,)
    assert data.path is None
    assert not bare_machine.exists()
    if source.n_classes:
        assert set(data.y_train) == set(data.y_test) == set(range(source.n_classes))


@pytest.mark.parametrize("name", [name for name in PACKAGED if SOURCES[name].reader == "scikit-learn"])
def test_other_values_in_scikit_learn_are_refused(name, monkeypatch):
    def altered(**options):
        bunch = original(**options)
        target = np.array(bunch.target)
        target[-1] += 1
        return SimpleNamespace(data=bunch.data, target=target)

    original = getattr(datasets, f"load_{name}")
    monkeypatch.setattr(datasets, f"load_{name}", altered)
    with pytest.raises(DatasetCorruptError, match=f"{name}.*target"):
        load_dataset(name)


def test_digits_are_the_classes_known():
    data = load_dataset("digits", normalize="none")
    labels = np.concatenate([data.y_train, data.y_test])
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert (data.x_train.min(), data.x_train.max()) == (0, 16)


def test_both_parts_of_digits_make_the_whole_without_overlap():
    parts = load_dataset("digits", normalize="none", flatten=True)
    together = np.concatenate([parts.x_train, parts.x_test])
    whole = datasets.load_digits().data
    np.testing.assert_array_equal(together[np.lexsort(together.T)], whole[np.lexsort(whole.T)])


def test_bundled_arrays_match_their_hashes():
    arrays = read_bundled()
    assert {name: array_digest(array) for name, array in arrays.items()} == dict(SOURCES["fashion-mini"].hashes)
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.uint8)}
    assert np.bincount(arrays["y_train"]).tolist() == [500] * 10
    assert np.bincount(arrays["y_test"]).tolist() == [300] * 10


@pytest.mark.parametrize("array", ["x_train", "y_test"])
def test_a_changed_bundled_array_is_refused(array, monkeypatch):
    arrays = read_bundled()
    arrays[array].flat[3] ^= 1
    monkeypatch.setattr("companion.data.fashion_mini.read_bundled", lambda: arrays)
    with pytest.raises(DatasetCorruptError, match=array):
        load_dataset("fashion-mini")


@pytest.mark.parametrize("trouble", ["missing", "cut", "array"])
def test_a_damaged_installation_is_said_to_be(trouble, monkeypatch, tmp_path):
    name, content = str(tmp_path / "mini.npz"), (files("companion.data") / FILE).read_bytes()
    if trouble == "cut":
        (tmp_path / "mini.npz").write_bytes(content[:-1000])
    elif trouble == "array":
        np.savez(name, x_train=read_bundled()["x_train"])
    monkeypatch.setattr("companion.data.fashion_mini.FILE", name)
    with pytest.raises(DatasetCorruptError, match="fashion-mini"):
        load_dataset("fashion-mini")


def test_the_licence_lies_beside_the_bundled_file():
    folder = files("companion.data")
    notice = (folder / "FASHION_MNIST_LICENSE").read_text(encoding="utf-8")
    assert "Zalando SE" in notice
    assert "The above copyright notice and this permission notice shall be included" in notice
    assert len((folder / FILE).read_bytes()) < 1_200_000
    listed = [str(path) for path in distribution_files("companion") or []]
    if any(path.startswith("companion/data/") for path in listed):  # an editable installation lists no data files
        assert f"companion/data/{FILE}" in listed


def test_rebuilding_pools_and_picks_as_described():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 502)[rng.permutation(5020)]
    images = rng.integers(0, 256, (5020, 28, 28), dtype=np.uint8)
    mini = rebuild(images, labels, images, labels)
    kept, seen = [], {label: 0 for label in range(10)}
    for i, label in enumerate(labels):
        seen[label] += 1
        if seen[label] <= 500:
            kept.append(i)
    assert mini["y_train"].tolist() == labels[kept].tolist()
    assert mini["x_test"].shape == (3000, 14, 14)
    for k in (0, 17, 4999):
        for row, column in ((0, 0), (5, 13), (13, 2)):
            block = images[kept[k], 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            assert mini["x_train"][k, row, column] == (int(block.sum()) + 2) // 4


def test_rebuilding_from_the_full_data_gives_the_bundled_arrays():
    try:
        full = load_dataset("fashion-mnist", normalize="none", download=False)
    except DatasetNotFoundError:
        pytest.skip("Fashion-MNIST is not on this machine")
    assert full.y_train[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    assert full.y_test[:10].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]
    pixels = full.x_train / 255
    assert pixels.mean(dtype=np.float64) == pytest.approx(0.2860, abs=1e-4)
    assert pixels.std(dtype=np.float64) == pytest.approx(0.3530, abs=1e-4)
    parts = (np.uint8(full.x_train), full.y_train, np.uint8(full.x_test), full.y_test)
    bundled = read_bundled()
    for name, array in rebuild(*parts).items():
        np.testing.assert_array_equal(array, bundled[name])
