"""The limit of the gradient flow from the family of starts, which solves one scalar equation.

The target has all entries ``w > 0``, ``n`` diagonal blocks of size ``s`` are observed, ``d = n s``, and every factor
starts with ``alpha`` on its diagonal and ``alpha / m`` off it, ``alpha = eps^(1/L)``.
"""

import numpy as np
from numpy.typing import ArrayLike

_HALVINGS = 200  # of the logarithm of the root


def start_eigenvalues(depth: int, d: int, eps: ArrayLike, m: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of a factor at the start: on the constant vector, and on all others."""
    alpha, m = np.asarray(eps, dtype=float) ** (1 / depth), np.asarray(m, dtype=float)
    return alpha * (1 + (d - 1) / m), alpha * (1 - 1 / m)


def conserved(depth: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What the flow keeps: ``y / x`` at depth two, ``y^(2-L) - x^(2-L)`` at depth three and more."""
    return y / x if depth == 2 else y ** (2.0 - depth) - x ** (2.0 - depth)


def limit(
    depth: int,
    n: int,
    s: int,
    eps: ArrayLike,
    m: ArrayLike,
    w: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Singular values of the limit: the largest, ``x^L``, the next ``n - 1``, ``y^L``.

    ``x^L + (n-1) y^L = d w`` on the curve on which ``y / x`` (depth two) or
    ``y^(2-L) - x^(2-L)`` (deeper) keeps its value of the start. The others are zero.

    Parameters
    ----------
    depth, n, s : the depth ``L >= 2``, the number of blocks and their size
    eps, m : of the start, arrays that broadcast; ``m = inf`` is a diagonal start
    w : entries of the target

    Returns
    -------
    Two arrays of the common shape.
    """
    total = n * s * w
    x, y = np.broadcast_arrays(*start_eigenvalues(depth, n * s, eps, m))
    kept = conserved(depth, x, y)

    def partner(x: np.ndarray) -> np.ndarray:
        if depth == 2:
            return kept * x
        return (x ** (2.0 - depth) + kept) ** (1 / (2.0 - depth))

    low, high = np.full(x.shape, -100.0), np.full(x.shape, np.log(total) / depth)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        x = np.exp(middle)
        above = x**depth + (n - 1) * partner(x) ** depth > total
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    x = np.exp((low + high) / 2)
    return x**depth, partner(x) ** depth


def ratio_kept(depth: int, n: int, s: int, eps: ArrayLike, m: ArrayLike, w: float = 1.0):
    """As :func:`limit`, were the ratio ``y / x`` kept at every depth, as it is at depth two."""
    x, y = start_eigenvalues(depth, n * s, eps, m)
    share = (y / x) ** depth
    largest = n * s * w / (1 + (n - 1) * share)
    return largest, share * largest


def stable_excess(largest: ArrayLike, second: ArrayLike, n: int) -> np.ndarray:
    """Stable rank minus one, ``(n - 1) (y / x)^(2L)``."""
    return (n - 1) * (np.asarray(second) / np.asarray(largest)) ** 2


def second_value_constant(depth: int, d: int, m: float) -> float:
    """``C^L`` in ``sigma_2 ~ C^L eps`` as ``eps -> 0``, for depth three and more and a coupled start."""
    power = 2.0 - depth
    return float(((1 - 1 / m) ** power - (1 + (d - 1) / m) ** power) ** (depth / power))


def family_coupling(depth: int, d: int, x: ArrayLike, y: ArrayLike) -> np.ndarray:
    """``K_ij / K_ii`` of diagonal entries for equal factors with eigenvalue ``x`` on the constant vector, else ``y``.

    With ``k(p) = (x^(2p) - y^(2p)) / d`` off the diagonal of the p-th power and ``k(p) + y^(2p)`` on it, the sums of
    ``k(p) k(L-1-p)`` over ``p = 1, ..., L-2`` and of the products on the diagonal over ``p = 0, ..., L-1``.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    off = [(x ** (2 * p) - y ** (2 * p)) / d for p in range(depth)]
    on = [one + y ** (2 * p) for p, one in enumerate(off)]
    between = sum((off[p] * off[depth - 1 - p] for p in range(depth)), np.zeros_like(x))
    return between / sum(on[p] * on[depth - 1 - p] for p in range(depth))


def aligned_coupling(depth: int, d: int) -> float:
    """``K_ij / K_ii`` of diagonal entries at a rank-one solution with aligned flat factors, ``(L-2) / (L-2+2d)``."""
    return (depth - 2) / (depth - 2 + 2 * d)
