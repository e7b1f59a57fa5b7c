"""Spectra along a run: how many directions a matrix has, and when each of them arrives.

All functions work on the last axis or axes and carry leading axes (seeds, steps, layers) along.

>>> import numpy as np
>>> round(float(effective_rank([2.0, 2.0, 2.0, 0.0])), 6)
3.0
>>> float(stable_rank([2.0, 1.0, 1.0]))
1.5
>>> float(hitting_time([0.0, 1.0, 4.0], [0.0, 10.0, 20.0], level=2.5))
15.0
"""

import numpy as np
import torch
from numpy.typing import ArrayLike


def effective_rank(values: ArrayLike) -> np.ndarray:
    """Entropy rank ``exp(-sum_i p_i log p_i)`` with ``p = s / sum(s)``.

    Equal to k for k equal singular values and zeros otherwise; source: Roy and Vetterli (2007).

    Parameters
    ----------
    values : singular values ``s``, not negative, ``(..., k)``

    Returns
    -------
    Array ``(...)`` between 1 and k; NaN where all values are zero
    """
    p = _scaled(values)
    p = p / p.sum(-1, keepdims=True)
    return np.exp(-(p * np.log(np.where(p > 0, p, 1.0))).sum(-1))


def stable_rank(values: ArrayLike) -> np.ndarray:
    """``||X||_F^2 / ||X||_2^2``, the sum of squared singular values over the largest square.

    Parameters
    ----------
    values : singular values, not negative, in any order, ``(..., k)``

    Returns
    -------
    Array ``(...)`` between 1 and k; NaN where all values are zero
    """
    return (_scaled(values) ** 2).sum(-1)


def hitting_time(series: ArrayLike, times: ArrayLike, level: ArrayLike) -> np.ndarray:
    """First time at which a series is at or above a level, on a straight line from the value before.

    Parameters
    ----------
    series : ``(..., k)``
    times : increasing, ``(k,)``, or one row for each series
    level : a number, or an array that broadcasts against ``(...)``

    Returns
    -------
    Array ``(...)``; infinite where the level is never reached, ``times[0]`` where the series starts there
    """
    series = np.asarray(series, dtype=float)
    times = np.broadcast_to(np.asarray(times, dtype=float), series.shape)
    level = np.broadcast_to(np.asarray(level, dtype=float), series.shape[:-1])[..., None]
    above = series >= level
    first = above.argmax(-1)[..., None]
    before = np.maximum(first - 1, 0)
    time, value = np.take_along_axis(times, first, -1), np.take_along_axis(series, first, -1)
    earlier, lower = np.take_along_axis(times, before, -1), np.take_along_axis(series, before, -1)
    rise = np.where(value > lower, value - lower, 1.0)
    time = np.where(first > 0, earlier + (time - earlier) * (level - lower) / rise, time)
    return np.where(above.any(-1), time[..., 0], np.inf)


def product_singular_values(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Singular values of ``left @ right`` without forming the product, largest first.

    By triangular factors of both: the cost is ``(m + n) r^2``.

    Parameters
    ----------
    left : ``(..., m, r)``
    right : ``(..., r, n)``, with r at most m and n

    Returns
    -------
    Tensor ``(..., r)``

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    rank = left.shape[-1]
    if right.shape[-2] != rank or rank > min(left.shape[-2], right.shape[-1]):
        shapes = tuple(left.shape), tuple(right.shape)
        raise ValueError(f"left, right: got shapes {shapes[0]} and {shapes[1]}, allowed: (m, r), (r, n), r <= m, n")
    return torch.linalg.svdvals(torch.linalg.qr(left, mode="r").R @ torch.linalg.qr(right.mT, mode="r").R.mT)


def _scaled(values: ArrayLike) -> np.ndarray:
    """Divided by the largest, so that squares neither over- nor underflow; NaN where all are zero."""
    values = np.asarray(values, dtype=float)
    if values.size and values.min() < 0:
        raise ValueError(f"values: got {values.min()!r}, allowed: singular values, not negative")
    largest = values.max(-1, keepdims=True)
    return values / np.where(largest > 0, largest, np.nan)
