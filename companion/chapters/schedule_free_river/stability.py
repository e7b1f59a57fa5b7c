"""Schedule-Free gradient descent on a quadratic, one eigenvalue at a time.

With ``q = lr lambda`` one step maps (z, x) by a 2 x 2 matrix that depends on the step through c alone. Arrays of q,
beta and C broadcast; a case is one element.
"""

import numpy as np
from numpy.typing import ArrayLike

OVERFLOW = 300.0  # decimal exponents beyond which a run is not followed


def matrix(q: ArrayLike, beta: ArrayLike, c: ArrayLike) -> np.ndarray:
    """``(z, x) -> (z', x')`` with ``z' = z - q ((1 - beta) z + beta x)`` and ``x' = (1 - c) x + c z'``, (..., 2, 2)."""
    q, beta, c = np.broadcast_arrays(*(np.asarray(a, float) for a in (q, beta, c)))
    keep = 1 - q * (1 - beta)
    rows = [[keep, -q * beta], [c * keep, 1 - c - c * q * beta]]
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1))


def frozen_radius(q: ArrayLike, beta: ArrayLike, c: ArrayLike) -> np.ndarray:
    """Spectral radius of the step's matrix, as if c stayed as it is."""
    return np.abs(np.linalg.eigvals(matrix(q, beta, c))).max(-1)


def frozen_stable(q: ArrayLike, beta: ArrayLike, c: ArrayLike) -> np.ndarray:
    """Whether that radius is below one: ``q (2 (1 - beta) + c (2 beta - 1)) < 4 - 2 c``, for c in (0, 1]."""
    q, beta, c = (np.asarray(a, float) for a in (q, beta, c))
    return q * (2 * (1 - beta) + c * (2 * beta - 1)) < 4 - 2 * c


def threshold(beta: ArrayLike) -> np.ndarray:
    """``2 / (1 - beta)``, the largest stable ``lr lambda`` once c has become small."""
    return 2 / (1 - np.asarray(beta, float))


def unstable_until(q: ArrayLike, beta: ArrayLike, C: ArrayLike) -> np.ndarray:
    """The step k up to which ``c_k = min(1, (1 - beta) C / k)`` is unstable when frozen, for q below the threshold.

    ``k = (1 - beta) C (2 + q (2 beta - 1)) / (4 - 2 q (1 - beta))``; zero where c = 1 is stable already, ``q < 2``.
    """
    q, beta, C = (np.asarray(a, float) for a in (q, beta, C))
    k = (1 - beta) * C * (2 + q * (2 * beta - 1)) / (4 - 2 * q * (1 - beta))
    return np.where(frozen_stable(q, beta, 1.0), 0.0, k)


def log_path(q: ArrayLike, beta: ArrayLike, C: ArrayLike, steps: int, start: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """``log10 |x_k|`` and ``log10 |y_k|``, ``(steps, ...)``, from z = x = 1 before step ``start``.

    The pair is renormalized at every step, so nothing overflows.
    """
    q, beta, C = np.broadcast_arrays(*(np.asarray(a, float) for a in (q, beta, C)))
    z, x, scale = np.ones(q.shape), np.ones(q.shape), np.zeros(q.shape)
    x_log, y_log = np.empty((steps, *q.shape)), np.empty((steps, *q.shape))
    tiny = np.finfo(float).tiny
    for k in range(steps):
        c = np.minimum(1.0, (1 - beta) * C / (start + k))
        z = z - q * ((1 - beta) * z + beta * x)
        x = (1 - c) * x + c * z
        size = np.maximum(np.hypot(z, x), tiny)
        z, x, scale = z / size, x / size, scale + np.log10(size)
        x_log[k] = scale + np.log10(np.maximum(np.abs(x), tiny))
        y_log[k] = scale + np.log10(np.maximum(np.abs((1 - beta) * z + beta * x), tiny))
    return x_log, y_log


def amplification(q: ArrayLike, beta: ArrayLike, C: ArrayLike, steps: int) -> np.ndarray:
    """``max_k log10 |y_k|`` of a run that starts at one: how many orders of magnitude it blows up on its way."""
    return np.clip(log_path(q, beta, C, steps)[1].max(0), 0.0, OVERFLOW)
