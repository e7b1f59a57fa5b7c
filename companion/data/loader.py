"""Loading a dataset: the first place that has it, checked, split, cut and normalized.

A dataset that was asked for is never replaced by another, nothing is downloaded unless the user allowed it, and
nothing is computed on content whose hash was not checked.
"""

import difflib
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from companion.data import cifar, idx, movielens, packaged, text
from companion.data import download as downloads
from companion.data.errors import DatasetArgumentError, DatasetCorruptError, DatasetNotFoundError, NotHere
from companion.data.parts import Parts
from companion.data.places import VARIABLE, cache_folder, is_folder, places
from companion.data.preparation import at_random, in_order, normalized, split_at_random, stratified
from companion.data.sources import SOURCES, Source

_PACKAGED = {
    "scikit-learn": (packaged.read_scikit_learn, "scikit-learn"),
    "fashion-mini": (packaged.read_fashion_mini, "bundled with companion"),
}
_IN_FOLDERS: dict[str, Callable[[Source, Path], Parts]] = {
    "idx": idx.read_folder,
    "cifar": cifar.read_folder,
    "movielens": movielens.read_folder,
    "text": text.read_folder,
}


@dataclass(frozen=True, repr=False, eq=False)
class Dataset:
    """A dataset ready for an experiment.

    Attributes
    ----------
    x_train, x_test : examples, ``(n, height, width)`` for grey images, ``(n, channels, height, width)`` for colour,
        ``(n, features)`` for tables and whenever flattened, ``(n, 2)`` of (user, movie) for ratings, ``(n,)`` of
        symbols for text
    y_train, y_test : labels 0, 1, … as ``int64``; for regression and ratings numbers; for text the next symbol
    name : the dataset's name
    n_classes : number of classes, ``None`` for numbers
    image_shape : shape of one image before flattening, ``None`` for what is not an image
    source : where it was found, without this machine's paths
    sha256 : hash of the whole content, before anything was drawn from it
    licence, citation : in words
    path : the file or folder it came from, ``None`` for what ships in a package
    extra : further arrays, e.g. the genres of a rating matrix's movies
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    name: str
    n_classes: int | None
    image_shape: tuple[int, ...] | None
    source: str
    sha256: str
    licence: str
    citation: str
    path: Path | None = None
    extra: Mapping[str, np.ndarray] = field(default_factory=dict)

    def describe(self) -> str:
        """What it is, where it came from and whom to cite: the lines that a notebook prints."""
        if self.image_shape:
            what = f"images of {'×'.join(map(str, self.image_shape))}"
        elif np.issubdtype(self.x_train.dtype, np.integer):
            what = "symbols" if self.x_train.ndim == 1 else "ratings"
        else:
            what = f"examples of {self.x_train.shape[1]} features"
        classes = f", {self.n_classes} classes" if self.n_classes and what != "symbols" else ""
        return (
            f"{self.name}: {len(self.x_train)}{f' + {len(self.x_test)}' if len(self.x_test) else ''} {what}{classes}; "
            f"{self.source}; SHA-256 {self.sha256[:12]}…\n"
            f"licence: {self.licence}\n"
            f"cite: {self.citation}"
        )

    def __repr__(self) -> str:
        return self.describe()


def load_dataset(
    name: str = "digits",
    *,
    n_train: int | None = None,
    n_test: int | None = None,
    split: bool = True,
    seed: int = 0,
    normalize: Literal["standard", "unit", "none"] = "standard",
    flatten: bool = False,
    dtype: str | np.dtype = "float32",
    download: bool | None = None,
    data_dir: str | os.PathLike | None = None,
) -> Dataset:
    """Load a dataset by name.

    It is looked for in the package itself, then in ``data_dir`` or the folders of ``COMPANION_DATA``, in the system,
    in other packages, in the download cache; the first place that has it is taken. Then, if downloading is allowed,
    it is fetched into the cache.

    Parameters
    ----------
    name : see :func:`companion.data.available`
    n_train, n_test : size of the parts, stratified by class; ``None`` takes all
    split : ``False`` for one part: all examples in the publisher's order are training examples, and none are test
        examples
    seed : of the split, where the publisher draws none, and of the subsets
    normalize : ``"standard"``, ``"unit"`` or ``"none"``, with constants of the training part: see
        :func:`companion.data.preparation.normalized`
    flatten : give an image as one vector
    dtype : ``"float32"`` or ``"float64"``, of everything that is not an index or a class
    download : whether the network may be used; ``None`` leaves it to ``COMPANION_DOWNLOAD=1``
    data_dir : a folder of the user's, in place of ``COMPANION_DATA``; never written to

    Raises
    ------
    DatasetNotFoundError
        If there is no such dataset, or it is not on this machine and may not be downloaded. The message says what
        can be done.
    DatasetCorruptError
        If a file was found whose content is not the dataset's.
    DatasetArgumentError
        For any other argument that is not allowed.

    Examples
    --------
    >>> digits = load_dataset("digits", n_train=100, flatten=True)
    >>> digits.x_train.shape, digits.x_test.shape
    ((100, 64), (500, 64))
    >>> load_dataset("digits", split=False, normalize="unit").x_train.shape  # scikit-learn's order, pixels in [0, 1]
    (1797, 8, 8)
    """
    source = _known(name)
    _check_choice("normalize", normalize, ("standard", "unit", "none"))
    dtype = _check_dtype(dtype)
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise DatasetArgumentError(f"seed: got {seed!r}, allowed: an integer of at least 0")
    parts, label = find(source, download=download, data_dir=data_dir)
    draw = _drawn if split else _whole
    x_train, y_train, x_test, y_test = draw(source, parts, n_train, n_test, seed)
    if source.n_classes is None:
        y_train, y_test = y_train.astype(dtype), y_test.astype(dtype)
    else:
        y_train, y_test = y_train.astype(np.int64), y_test.astype(np.int64)
    if source.reader in ("movielens", "text"):  # those two hold indices, not quantities
        x_train, x_test = x_train.astype(np.int64), x_test.astype(np.int64)
    else:
        x_train, x_test = normalized(x_train, x_test, normalize, top=source.top, dtype=dtype)
        if flatten:
            x_train, x_test = (x.reshape(len(x), math.prod(x.shape[1:])) for x in (x_train, x_test))
    return Dataset(
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        name=source.name,
        n_classes=source.n_classes,
        image_shape=source.shape if source.top else None,
        source=parts.source or label,
        sha256=parts.sha256,
        licence=parts.licence or source.licence,
        citation=parts.citation or source.citation,
        path=parts.path,
        extra=parts.extra,
    )


def find(
    source: Source, *, download: bool | None = None, data_dir: str | os.PathLike | None = None
) -> tuple[Parts, str]:
    """A dataset's content from the first place that has it, and that place's name."""
    if source.reader in _PACKAGED:
        read, label = _PACKAGED[source.reader]
        return read(source), label
    read = _IN_FOLDERS[source.reader]
    notes = []
    for place in places(source, data_dir):
        try:
            if not is_folder(place.folder):
                raise NotHere("no such folder")
            return read(source, place.folder), place.label
        except NotHere as note:
            notes.append(f"{place.folder} ({note})")
        except PermissionError:
            notes.append(f"{place.folder} (no permission to read it)")
        except OSError as error:
            notes.append(f"{place.folder} ({error.strerror or type(error).__name__})")
    if source.reader == "text":
        return text.read_standard_library(), "Python's standard library"
    if source.remote and downloads.allowed(download):
        return _downloaded(source, read), "download cache"
    raise _not_found(source, notes)


def _downloaded(source: Source, read: Callable[[Source, Path], Parts]) -> Parts:
    folder = cache_folder(source.name)
    fresh = downloads.fetch(source, folder)
    try:
        return read(source, folder)
    except (DatasetCorruptError, NotHere) as error:
        for path in fresh:
            path.unlink(missing_ok=True)
        raise DatasetCorruptError(
            f"{source.name!r} was not kept: what {downloads.base_url(source)} sent is not the dataset.\n  {error}"
        ) from error


def _not_found(source: Source, notes: list[str]) -> DatasetNotFoundError:
    lines = [
        f"{source.name!r} is not on this machine and downloading is off.",
        f"It needs {source.needs}.",
        f"- have it? set {VARIABLE}=/path/to/folder (or pass data_dir=…)",
        *(f"- {way}" for way in source.ways),
        f'- online: load_dataset("{source.name}", download=True), or {downloads.VARIABLE}=1',
        f"- no data at all? {source.stand_in} always works",
        f"looked in: {', '.join(notes) or 'nowhere'}",
    ]
    return DatasetNotFoundError("\n  ".join(lines))


def _drawn(source: Source, parts: Parts, n_train: int | None, n_test: int | None, seed: int) -> tuple[np.ndarray, ...]:
    """Both parts in the sizes asked for. Each draw has its own stream: the test part does not depend on ``n_train``."""
    rng_split, rng_train, rng_test = (np.random.default_rng([seed, k]) for k in range(3))
    x_train, y_train, x_test, y_test = parts.x_train, parts.y_train, parts.x_test, parts.y_test
    if source.reader == "text":
        n = len(x_train)
        _check_size("n_train", n_train, n - 1)
        _check_size("n_test", n_test, n - (n_train or 1))
        n_train = n_train or n - (n_test or max(1, n // 10))
        train, test = in_order(n_train, n_test or min(max(1, n_train // 9), n - n_train))
        return x_train[train], y_train[train], x_train[test], y_train[test]
    if x_test is None:
        train, test = split_at_random(len(x_train), source.n_test or max(1, len(x_train) // 10), rng_split)
        x_train, y_train, x_test, y_test = x_train[train], y_train[train], x_train[test], y_train[test]
    _check_size("n_train", n_train, len(x_train))
    _check_size("n_test", n_test, len(x_test))
    return (
        *_subset(x_train, y_train, n_train, source.n_classes, rng_train),
        *_subset(x_test, y_test, n_test, source.n_classes, rng_test),
    )


def _whole(source: Source, parts: Parts, n_train: int | None, n_test: int | None, seed: int) -> tuple[np.ndarray, ...]:
    """All examples in one part, or as many of them as asked for, and an empty second part."""
    if n_test is not None:
        raise DatasetArgumentError(f"n_test: got {n_test!r}, allowed: None where split is False")
    x, y = parts.x_train, parts.y_train
    if parts.x_test is not None:
        x, y = np.concatenate([x, parts.x_test]), np.concatenate([y, parts.y_test])
    _check_size("n_train", n_train, len(x))
    if source.reader == "text":
        x, y = x[:n_train], y[:n_train]
    else:
        x, y = _subset(x, y, n_train, source.n_classes, np.random.default_rng([seed, 1]))
    return x, y, x[:0], y[:0]


def _subset(
    x: np.ndarray, y: np.ndarray, n: int | None, n_classes: int | None, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    if n is None:
        return x, y
    chosen = at_random(len(x), n, rng) if n_classes is None else stratified(y, n, rng)
    return x[chosen], y[chosen]


def _check_size(parameter: str, n: object, most: int) -> None:
    if n is not None and (not isinstance(n, int | np.integer) or isinstance(n, bool) or not 1 <= n <= most):
        raise DatasetArgumentError(f"{parameter}: got {n!r}, allowed: an integer from 1 to {most}")


def _known(name: str) -> Source:
    if not isinstance(name, str) or name not in SOURCES:
        close = difflib.get_close_matches(str(name), SOURCES, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise DatasetNotFoundError(f"dataset: got {name!r}{hint}, allowed: {', '.join(SOURCES)}")
    return SOURCES[name]


def _check_choice(parameter: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise DatasetArgumentError(f"{parameter}: got {value!r}, allowed: {', '.join(choices)}")


def _check_dtype(dtype: str | np.dtype) -> np.dtype:
    try:
        found = np.dtype(dtype)
        accepted = dtype is not None and found.name in ("float32", "float64") and found.isnative
    except TypeError:
        accepted = False
    if not accepted:
        raise DatasetArgumentError(f"dtype: got {dtype!r}, allowed: float32, float64")
    return found
