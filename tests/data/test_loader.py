import dataclasses
from pathlib import Path

import numpy as np
import pytest

from companion.data import (
    DatasetArgumentError,
    DatasetCorruptError,
    DatasetError,
    DatasetNotFoundError,
    available,
    load_dataset,
)
from companion.data.sources import SOURCES


def test_one_seed_gives_one_dataset_and_another_seed_another():
    first, again, other = (load_dataset("digits", n_train=200, seed=seed) for seed in (3, 3, 4))
    assert first.x_train.tobytes() == again.x_train.tobytes()
    assert first.y_test.tobytes() == again.y_test.tobytes()
    assert first.x_train.tobytes() != other.x_train.tobytes()
    assert first.sha256 == other.sha256  # the hash is of the whole content


def test_an_official_split_does_not_depend_on_the_seed():
    first, other = (load_dataset("fashion-mini", seed=seed) for seed in (0, 1))
    assert first.x_train.tobytes() == other.x_train.tobytes()


@pytest.mark.parametrize("name", ["digits", "fashion-mini", "breast_cancer"])
def test_subsets_are_stratified(name):
    whole, part = load_dataset(name), load_dataset(name, n_train=101, n_test=50)
    for labels, all_labels, n in ((part.y_train, whole.y_train, 101), (part.y_test, whole.y_test, 50)):
        assert len(labels) == n
        assert np.abs(np.bincount(labels) - np.bincount(all_labels) * n / len(all_labels)).max() < 1


def test_the_test_part_does_not_depend_on_the_size_of_the_training_part():
    small, large = (load_dataset("digits", n_train=n, n_test=60, normalize="none") for n in (50, 500))
    assert small.x_test.tobytes() == large.x_test.tobytes()


def test_examples_keep_their_labels():
    whole = load_dataset("fashion-mini", normalize="none", flatten=True)
    part = load_dataset("fashion-mini", n_train=300, n_test=20, normalize="none", flatten=True)
    labels = {image.tobytes(): label for image, label in zip(whole.x_train, whole.y_train, strict=True)}
    assert all(labels[image.tobytes()] == label for image, label in zip(part.x_train, part.y_train, strict=True))


def test_constants_are_those_of_the_part_that_is_trained_on():
    part = load_dataset("digits", n_train=30, dtype="float64")
    assert part.x_train.mean() == pytest.approx(0, abs=1e-12)
    assert part.x_train.std() == pytest.approx(1)


@pytest.mark.parametrize("name", ["digits", "breast_cancer", "wine", "iris"])
def test_without_a_split_all_examples_are_there_in_the_order_of_the_package(name):
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")()
    data = load_dataset(name, split=False, normalize="none", flatten=True, dtype="float64")
    assert np.array_equal(data.x_train, bunch.data)
    assert np.array_equal(data.y_train, bunch.target)
    assert (data.x_test.shape, data.y_test.shape) == ((0, data.x_train.shape[1]), (0,))
    assert f"{name}: {len(bunch.data)} " in data.describe()
    assert data.sha256 == load_dataset(name).sha256


def test_without_a_split_pixels_are_scaled_and_subsets_stratified_as_with_one():
    digits = load_dataset("digits", split=False, normalize="unit", dtype="float64")
    assert digits.x_train.shape == (1797, 8, 8)
    assert np.array_equal(16 * digits.x_train, load_dataset("digits", split=False, normalize="none").x_train)
    part = load_dataset("digits", split=False, n_train=100)
    assert np.abs(np.bincount(part.y_train) - np.bincount(digits.y_train) * 100 / 1797).max() < 1
    whole = load_dataset("fashion-mini", split=False, normalize="none")
    parts = load_dataset("fashion-mini", normalize="none")
    assert np.array_equal(whole.x_train, np.concatenate([parts.x_train, parts.x_test]))
    with pytest.raises(DatasetArgumentError, match="n_test: got 3, allowed: None where split is False"):
        load_dataset("digits", split=False, n_test=3)
    with pytest.raises(DatasetArgumentError, match="n_train: got 1798, allowed: an integer from 1 to 1797"):
        load_dataset("digits", split=False, n_train=1798)


def test_a_regression_target_stays_in_its_units():
    data = load_dataset("diabetes", dtype="float64")
    assert data.n_classes is None
    assert data.y_train.min() >= 25
    assert data.y_train.dtype == np.float64
    np.testing.assert_allclose(data.x_train.std(axis=0), 1)


@pytest.mark.parametrize("dtype", ["float32", "float64", np.float64])
def test_flatten_and_dtype(dtype):
    data = load_dataset("digits", flatten=True, dtype=dtype)
    assert data.x_train.shape == (1297, 64)
    assert data.x_train.dtype == data.x_test.dtype == np.dtype(dtype)
    assert data.y_train.dtype == np.int64
    assert data.image_shape == (8, 8)


def test_unit_images_lie_between_zero_and_one():
    for name in ("digits", "fashion-mini"):
        data = load_dataset(name, normalize="unit")
        assert (data.x_train.min(), data.x_train.max()) == (0, 1)


def test_what_is_returned_may_be_written_to_without_changing_the_next():
    first = load_dataset("fashion-mini", normalize="none")
    first.x_train[:] = 0
    first.y_train[:] = 0
    assert load_dataset("fashion-mini", normalize="none").x_train.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_train": 1298}, "n_train: got 1298, allowed: an integer from 1 to 1297"),
        ({"n_train": 0}, "n_train: got 0, allowed: an integer from 1 to 1297"),
        ({"n_test": 12.5}, "n_test: got 12.5, allowed: an integer from 1 to 500"),
        ({"n_test": True}, "n_test: got True, allowed: an integer from 1 to 500"),
        ({"normalize": "minmax"}, "normalize: got 'minmax', allowed: standard, unit, none"),
        ({"dtype": "int8"}, "dtype: got 'int8', allowed: float32, float64"),
        ({"dtype": None}, "dtype: got None, allowed: float32, float64"),
        ({"dtype": "nonsense"}, "dtype: got 'nonsense', allowed: float32, float64"),
        ({"seed": -1}, "seed: got -1, allowed: an integer of at least 0"),
        ({"seed": "1"}, "seed: got '1', allowed: an integer of at least 0"),
    ],
)
def test_a_bad_argument_gets_one_line(arguments, message):
    with pytest.raises(DatasetArgumentError) as caught:
        load_dataset("digits", **arguments)
    assert str(caught.value) == message


def test_an_unknown_name_gets_one_line_with_a_suggestion():
    with pytest.raises(DatasetNotFoundError) as caught:
        load_dataset("fashion_mini")
    assert str(caught.value).startswith("dataset: got 'fashion_mini' (did you mean fashion-mini?), allowed: digits, ")
    assert "\n" not in str(caught.value)
    with pytest.raises(DatasetNotFoundError, match="got None"):
        load_dataset(None)
    with pytest.raises(DatasetNotFoundError, match=r"got \['digits'\]"):
        load_dataset(["digits"])


def test_the_errors_are_the_builtin_ones_too():
    for error, builtin in (
        (DatasetNotFoundError, FileNotFoundError),
        (DatasetCorruptError, ValueError),
        (DatasetArgumentError, ValueError),
    ):
        assert issubclass(error, DatasetError)
        assert issubclass(error, builtin)
    assert str(DatasetNotFoundError("one message")) == "one message"


def test_describe_says_what_whence_and_whom_to_cite_but_no_path(bare_machine, tiny_idx, put, tmp_path):
    mine = put(tmp_path / "mine", tiny_idx["fashion-mnist"])
    text = load_dataset("fashion-mnist", data_dir=mine).describe()
    for part in ("fashion-mnist: 40 + 20 images of 28×28, 10 classes", "found in data_dir", "MIT", "arXiv:1708.07747"):
        assert part in text
    assert str(tmp_path) not in text
    assert repr(load_dataset("breast_cancer")).startswith("breast_cancer: 426 + 143 examples of 30 features, 2 classes")


def test_a_dataset_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_dataset("iris").name = "other"


def test_the_library_needs_no_torch(in_fresh_python):
    loaded = in_fresh_python(
        "import sys\nfrom companion.data import load_dataset\nload_dataset('fashion-mini')\n"
        "print([name for name in ('torch', 'sklearn', 'pandas', 'requests') if name in sys.modules])"
    )
    assert loaded == "[]"


def test_available_lists_every_dataset_with_its_status(bare_machine, no_network, tiny_idx, put, monkeypatch, tmp_path):
    mine = put(tmp_path / "mine" / "fashion-mnist", tiny_idx["fashion-mnist"])
    put(tmp_path / "mine" / "mnist", tiny_idx["mnist"] | {"t10k-labels-idx1-ubyte": b"\0\0\x08\x01\0\0\0\0"})
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path / "mine"))
    monkeypatch.setenv("COMPANION_DOWNLOAD", "1")  # a list downloads nothing
    entries = {entry.name: entry for entry in available()}
    assert list(entries) == list(SOURCES)
    assert entries["digits"].status == "bundled with scikit-learn"
    assert entries["fashion-mini"].status == "bundled with companion"
    assert entries["text"].status == "bundled with Python's standard library"
    assert entries["fashion-mnist"].status == f"found at {mine}"
    assert entries["mnist"].status.startswith("corrupt: 'mnist' cannot be read: t10k-labels-idx1-ubyte")
    assert entries["cifar10"].status == entries["movielens-small"].status == "downloadable"
    assert entries["fashion-mini"].size == "5000 + 3000 of 14×14"
    assert entries["cifar10"].licence


def test_hosts_and_hashes_stand_in_one_table_only():
    folder = Path(__file__).parents[2] / "companion" / "data"
    for path in folder.glob("*.py"):
        if path.name != "sources.py":
            assert "://" not in path.read_text(), path.name
    for source in SOURCES.values():
        assert all(len(value) == 64 and int(value, 16) for value in source.hashes.values())
        assert source.licence
        assert source.citation
