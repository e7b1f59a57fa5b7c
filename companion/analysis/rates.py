"""Rates read off measured curves: slopes on logarithmic axes, and how well a law fits.

All functions work on the last axis and carry leading axes (seeds, settings) along.

>>> import numpy as np
>>> t = np.array([10.0, 100.0, 1000.0])
>>> round(float(loglog_slope(t, 3 / t**2)), 12)
-2.0
>>> round(float(fit_r2(np.log(t), 5 + 2 * np.log(t))), 12)
1.0
"""

import numpy as np


def loglog_slope(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Least-squares slope of ``log y`` against ``log x``: the exponent p of ``y = c x^p``.

    Parameters
    ----------
    x : positive, ``(..., k)`` with k of at least 2, broadcast against ``y``
    y : ``(..., k)``; a curve with a value that is not positive has the slope NaN

    Returns
    -------
    Array of shape ``(...)``
    """
    x, y = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(y, dtype=float))
    positive = (x > 0) & (y > 0)
    x, y = np.log(np.where(positive, x, 1.0)), np.log(np.where(positive, y, 1.0))
    slope, _ = _line(x, y)
    return np.where(positive.all(-1), slope, np.nan)


def fit_r2(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Share of the variance of ``y`` that a straight line in ``x`` explains, R^2 = 1 - SS_residual / SS_total.

    Parameters
    ----------
    x, y : ``(..., k)``, broadcast against each other; the regressor is given as it is, e.g. ``numpy.log(t)``

    Returns
    -------
    Array of shape ``(...)``, at most 1; NaN where ``y`` does not vary
    """
    x, y = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(y, dtype=float))
    slope, intercept = _line(x, y)
    residual = ((y - slope[..., None] * x - intercept[..., None]) ** 2).sum(-1)
    total = ((y - y.mean(-1, keepdims=True)) ** 2).sum(-1)
    return np.where(total > 0, 1 - residual / np.where(total > 0, total, 1.0), np.nan)


def _line(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope and intercept of the least-squares line along the last axis; a constant ``x`` has the slope NaN."""
    dx, dy = x - x.mean(-1, keepdims=True), y - y.mean(-1, keepdims=True)
    spread = (dx**2).sum(-1)
    slope = np.where(spread > 0, (dx * dy).sum(-1) / np.where(spread > 0, spread, 1.0), np.nan)
    return slope, y.mean(-1) - slope * x.mean(-1)
