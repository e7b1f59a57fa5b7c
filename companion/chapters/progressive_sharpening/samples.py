"""Two classes of images as a regression problem with labels ±1."""

from collections.abc import Sequence

import numpy as np

from companion.data import load_dataset


def two_classes(name: str, classes: Sequence[int], centre: bool) -> tuple[np.ndarray, np.ndarray]:
    """All training images of two classes, pixels from 0 to 1 in rows, and their labels, −1 for the first class.

    ``centre`` subtracts the mean of these images: without it the direction of the mean dominates the spectrum.
    """
    # Digits have no publisher's split, so all are taken.
    found = load_dataset(name, split=name != "digits", normalize="unit", flatten=True, dtype="float64")
    kept = np.isin(found.y_train, classes)
    X, y = found.x_train[kept], np.where(found.y_train[kept] == classes[0], -1.0, 1.0)
    return (X - X.mean(0) if centre else X), y


def drawn(rng: np.random.Generator, total: int, n: int, draws: int) -> np.ndarray:
    """The first n entries of random orders of ``total`` samples, ``(draws, n)``; prefixes are nested data sets."""
    return np.stack([rng.permutation(total)[:n] for _ in range(draws)])


def flipped(y: np.ndarray, rate: float, uniform: np.ndarray) -> np.ndarray:
    """Labels with each sign turned where ``uniform``, of the shape of y, is below the rate."""
    return np.where(uniform < rate, -y, y)


def reduced(X: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thin singular value decomposition of X ``(..., N, d)``: rows in coordinates of the row space, s, W.

    ``W diag(s)`` has the same inner products between rows as X, which is all that a network sees whose first layer
    starts in the row space, or is Gaussian.

    Returns
    -------
    ``W diag(s)`` ``(..., N, r)``, s ``(..., r)`` decreasing and W ``(..., N, r)``, with ``r = min(N, d)``.
    """
    W, s, _ = np.linalg.svd(X, full_matrices=False)
    return W * s[..., None, :], s, W
