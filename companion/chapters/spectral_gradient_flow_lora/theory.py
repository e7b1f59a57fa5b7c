"""What the two flows do to single modes, in closed form.

From an aligned start (``B = U diag(b) Q``, ``A = Q^T diag(a) V^T``, the target ``U diag(s) V^T``) a matrix flow is a
scalar flow of each pair ``(a_i, b_i)``; with ``a_i = b_i = alpha`` the singular value ``sigma_i = a_i b_i`` follows
the formulas below.
"""

import numpy as np
from numpy.typing import ArrayLike


def spectral_value(t: ArrayLike, s: ArrayLike, alpha: float) -> np.ndarray:
    """Singular value under the polar flow: ``min((alpha + t)^2, s)``, the same curve for every target ``s``."""
    return np.minimum((alpha + np.asarray(t)) ** 2, s)


def spectral_time(s: ArrayLike, alpha: ArrayLike, level: float) -> np.ndarray:
    """When the polar flow reaches ``level s``: ``sqrt(level s) - alpha``, increasing in ``s``; 0 at the start."""
    return np.maximum(np.sqrt(level * np.asarray(s)) - alpha, 0.0)


def gradient_value(t: ArrayLike, s: ArrayLike, alpha: float) -> np.ndarray:
    """Singular value under gradient flow: the logistic curve ``s / (1 + (s / alpha^2 - 1) exp(-2 s t))``."""
    s = np.asarray(s)
    return s / (1 + (s / alpha**2 - 1) * np.exp(-2 * s * np.asarray(t)))


def gradient_time(s: ArrayLike, alpha: ArrayLike, level: float) -> np.ndarray:
    """When gradient flow reaches ``level s``: ``log(level (s - alpha^2) / ((1 - level) alpha^2)) / (2 s)``, or 0."""
    s, square = np.asarray(s), np.asarray(alpha) ** 2
    odds = level * (s - square) / ((1 - level) * square)
    return np.where(level * s > square, np.log(np.maximum(odds, 1.0)) / (2 * s), 0.0)


def band(t: ArrayLike, alpha: float, K: float) -> tuple[np.ndarray, np.ndarray]:
    """Bounds on ``sqrt(sigma_i(t))`` of the smoothed flow while its gradient is at least ``K beta``.

    ``alpha + t / sqrt(1 + K^-2)`` and ``alpha + t``, whatever the target.
    """
    t = np.asarray(t)
    return alpha + t / np.sqrt(1 + K**-2), alpha + t


def gaussian_flatness(rank: int, columns: int) -> float:
    """``sigma_r / sigma_1`` of a Gaussian ``rank x columns`` matrix, for large sizes: ``(1 - y) / (1 + y)``.

    ``y = sqrt(rank / columns)``, at most one; the edges of the Marchenko-Pastur law.
    """
    y = (rank / columns) ** 0.5
    return (1 - y) / (1 + y)


def soft_threshold(s: np.ndarray, rank: int, lam: float) -> np.ndarray:
    """Singular values of the global minimum: ``max(s_i - lam, 0)`` for the ``rank`` largest, and zeros."""
    kept = np.arange(len(s)) < rank
    return np.where(kept, np.maximum(np.asarray(s) - lam, 0.0), 0.0)


def least_loss(s: np.ndarray, rank: int, lam: float) -> float:
    """Least value of the loss: ``1/2 sum (s_i - h_i)^2 + lam sum h_i`` with ``h`` the soft-thresholded values."""
    h = soft_threshold(s, rank, lam)
    return float(((s - h) ** 2).sum() / 2 + lam * h.sum())


def slowest_rate(s: np.ndarray, rank: int, lam: float) -> float:
    """Least curvature of the loss across its global minima: how fast the end is approached, and 0 where it creeps.

    The smallest of ``|s_i - lam|`` over the modes that the factors can hold, of the gap ``s_r - s_{r+1}`` to the first
    one that they cannot (where ``s_r > lam``), and of ``lam`` itself, if positive, which balances the factors.
    """
    s = np.asarray(s, dtype=float)
    rates = list(np.abs(s[:rank] - lam))
    if s[rank - 1] > lam:
        rates.append(s[rank - 1] - (s[rank] if rank < len(s) else 0.0))
    return float(min([*rates, lam] if lam > 0 else rates))


def scalar_flow(
    a: np.ndarray, b: np.ndarray, s: ArrayLike, beta: ArrayLike, lengths: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The flow of single modes by Euler's method: ``a' = tau(b (s - a b))``, ``b' = tau(a (s - a b))``.

    ``tau(g) = g / sqrt(g^2 + beta^2)``; for an infinite ``beta``, ``tau(g) = g`` is gradient flow.

    Parameters
    ----------
    a, b : starts, any one shape
    s, beta : broadcast against it
    lengths : step sizes, first axis the steps, the rest broadcasts

    Returns
    -------
    ``a`` and ``b`` at the start and after every step, ``(steps + 1, ...)``
    """
    beta = np.asarray(beta, dtype=float)
    finite = np.where(np.isfinite(beta), beta, 1.0)
    path = [(a, b)]
    for h in lengths:
        residual = s - a * b
        slopes = [np.where(np.isfinite(beta), g / np.sqrt(g**2 + finite**2), g) for g in (b * residual, a * residual)]
        a, b = a + h * slopes[0], b + h * slopes[1]
        path.append((a, b))
    return tuple(np.array(values) for values in zip(*path, strict=True))


def largest_first(s: np.ndarray, alpha: float, level: float) -> bool:
    """Whether :func:`gradient_time` decreases in the target throughout the spectrum, which takes a small start.

    It does where ``log(level (s - alpha^2) / ((1 - level) alpha^2)) > s / (s - alpha^2)``.
    """
    gap = np.asarray(s) - alpha**2
    return bool(np.all(gap > 0) and np.all(np.log(level * gap / ((1 - level) * alpha**2)) > s / gap))


def order(times: np.ndarray, s: np.ndarray | None = None, apart: float = 1.0) -> np.ndarray:
    """Whether smaller targets arrive first: mean over pairs of modes of the sign of ``t_i - t_j`` where ``s_i > s_j``.

    Kendall's rank correlation of arrival times with targets: 1 for smallest first, -1 for largest first.

    Parameters
    ----------
    times : arrival times in the order of decreasing targets, ``(..., k)``, infinite where a mode never arrives
    s, apart : targets ``(k,)``; only pairs whose targets have at least this ratio count, all where ``s`` is not given
    """
    first, second = np.triu_indices(times.shape[-1], 1)
    if s is not None:
        chosen = s[first] >= apart * s[second]
        first, second = first[chosen], second[chosen]
    earlier, later = times[..., second], times[..., first]
    return np.where(later > earlier, 1.0, np.where(later < earlier, -1.0, 0.0)).mean(-1)
