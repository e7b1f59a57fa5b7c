"""From a dataset's raw arrays to the ones an experiment trains on: split, subset, normalize."""

import numpy as np


def split_at_random(n: int, n_test: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Indices of a training and a test part, in random order."""
    order = rng.permutation(n)
    return order[: n - n_test], order[n - n_test :]


def stratified(labels: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Indices of ``n`` examples, each class in its share, in ascending order.

    Each class gets ``n · share`` rounded down; the examples that this leaves over go one each to the classes with the
    largest remainders, the lower label first.
    """
    classes, members = np.unique(labels, return_inverse=True)
    exact = np.bincount(members) * n / len(labels)
    counts = np.floor(exact).astype(int)
    counts[np.argsort(counts - exact, kind="stable")[: n - counts.sum()]] += 1
    chosen = [
        rng.choice(np.flatnonzero(members == k), count, replace=False)
        for k, count in zip(range(len(classes)), counts, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def at_random(n_all: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Indices of ``n`` examples, in ascending order."""
    return np.sort(rng.choice(n_all, n, replace=False))


def in_order(n_train: int, n_test: int) -> tuple[slice, slice]:
    """The first ``n_train`` examples and the ``n_test`` after them: the parts of a text stay in one piece."""
    return slice(0, n_train), slice(n_train, n_train + n_test)


def normalized(
    x_train: np.ndarray, x_test: np.ndarray, how: str, *, top: float | None, dtype: np.dtype
) -> tuple[np.ndarray, np.ndarray]:
    """Both parts, shifted and scaled by constants of the training part.

    Parameters
    ----------
    x_train, x_test : ``(n, features)``, or images ``(n, height, width)`` or ``(n, channels, height, width)``
    how : ``"standard"``: mean 0 and standard deviation 1, over all pixels of a grey image, over each channel of a
        colour image, over each feature of a table; ``"unit"``: the range 0 to 1, by the largest possible pixel or by
        each feature's training range; ``"none"``
    top : largest possible pixel, or ``None`` for a table
    """
    if how == "none":
        return x_train.astype(dtype), x_test.astype(dtype)
    if how == "unit" and top is not None:
        shift, scale = 0.0, float(top)
    elif how == "unit":
        shift = x_train.min(axis=0)
        scale = x_train.max(axis=0) - shift
    else:
        shift, scale = _mean_and_deviation(x_train, {2: 0, 3: None, 4: (0, 2, 3)}[x_train.ndim])
    scale = np.where(scale == 0, 1.0, scale)  # a constant feature stays constant
    return _affine(x_train, shift, scale, dtype), _affine(x_test, shift, scale, dtype)


def _mean_and_deviation(x: np.ndarray, axes: int | tuple[int, ...] | None) -> tuple[np.ndarray, np.ndarray]:
    if x.dtype == np.uint8:  # exact sums of integers, without a copy eight times the size
        sums = x.sum(axis=axes, keepdims=True, dtype=np.int64)
        squares = (x.astype(np.uint16) ** 2).sum(axis=axes, keepdims=True, dtype=np.int64)
        mean, square = sums * (sums.size / x.size), squares * (sums.size / x.size)
        return mean, np.sqrt(np.maximum(square - mean**2, 0))
    return x.mean(axis=axes, keepdims=True), x.std(axis=axes, keepdims=True)


def _affine(x: np.ndarray, shift: np.ndarray, scale: np.ndarray, dtype: np.dtype) -> np.ndarray:
    result = x.astype(dtype)
    result -= np.asarray(shift, dtype)
    result /= np.asarray(scale, dtype)
    return result
